//! Predictions over a registry in memory, with real networks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use candle_core::Device;
use time::OffsetDateTime;

use super::*;
use crate::metrics::Metrics;
use crate::network::builders::NetworkSpec;
use crate::network::{initialize, weights};
use crate::registry::{
    Alias, AliasError, AliasOrder, AliasRecord, Ancestor, BlobDigest, Cause, Model, Retention, Version, VersionMetrics,
};
use crate::stream::{Encoder, Feature, FeatureKind, Schema, Seq, Targets, Task, Value};

const LEARNER: LearnerId = LearnerId(7);

#[derive(Default)]
struct Registry {
    versions: Mutex<BTreeMap<VersionId, Version>>,
    blobs: Mutex<BTreeMap<BlobDigest, Vec<u8>>>,
    live: Mutex<Option<VersionId>>,
    /// What aliases other than `live` name; `None`: the store fails.
    others: Mutex<Option<BTreeMap<String, VersionId>>>,
    blobs_read: AtomicUsize,
}

#[async_trait]
impl RegistryStore for Registry {
    async fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = BlobDigest::of(bytes);
        self.blobs.lock().unwrap().insert(digest, bytes.to_vec());
        Ok(digest)
    }

    async fn get_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.blobs_read.fetch_add(1, Ordering::Relaxed);
        Ok(self.blobs.lock().unwrap().get(&digest).cloned())
    }

    async fn version(&self, _: LearnerId, version: VersionId) -> Result<Option<Version>, StoreError> {
        Ok(self.versions.lock().unwrap().get(&version).cloned())
    }

    async fn versions(&self, _: LearnerId, after: VersionId, limit: usize) -> Result<Vec<Version>, StoreError> {
        let versions = self.versions.lock().unwrap();
        Ok(versions.values().filter(|version| version.version > after).take(limit).cloned().collect())
    }

    async fn lineage(&self, _: LearnerId, _: VersionId, _: usize) -> Result<Vec<Ancestor>, StoreError> {
        unreachable!("predictions ask for no lineage")
    }

    async fn alias(&self, _: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError> {
        if alias == LIVE {
            return Ok(*self.live.lock().unwrap());
        }
        let others = self.others.lock().unwrap();
        let others = others.as_ref().ok_or_else(|| StoreError::Unavailable("it is gone".into()))?;
        Ok(others.get(alias).copied())
    }

    async fn alias_state(&self, _: LearnerId, _: &AliasName) -> Result<Option<Alias>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn aliases(&self, _: LearnerId, _: Option<&AliasName>, _: usize) -> Result<Vec<Alias>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn pinned_aliases(&self) -> Result<Vec<(LearnerId, AliasName)>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn change_alias(&self, _: LearnerId, _: &AliasOrder) -> Result<Option<Alias>, AliasError> {
        unreachable!("predictions change no alias")
    }

    async fn alias_history(
        &self,
        _: LearnerId,
        _: &AliasName,
        _: u64,
        _: usize,
    ) -> Result<Vec<AliasRecord>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn alias_at(
        &self,
        _: LearnerId,
        _: &AliasName,
        _: OffsetDateTime,
    ) -> Result<Option<AliasRecord>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn alias_targets(
        &self,
        _: LearnerId,
        _: &AliasName,
        _: VersionId,
        _: usize,
    ) -> Result<Vec<VersionId>, StoreError> {
        unreachable!("predictions ask only for what an alias names")
    }

    async fn sweep_weights(&self, _: LearnerId, _: &Retention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

fn schema() -> Schema {
    Schema { features: vec![Feature::new("a", FeatureKind::Vector { size: 3 })] }
}

fn task() -> Task {
    Task::Classification { classes: vec!["no".into(), "yes".into()], open_classes: false }
}

/// A model whose weights depend on the seed.
fn model(seed: u64) -> (Model, Vec<u8>) {
    let (mut encoder, targets) = (Encoder::new(&schema()), Targets::new(&task()));
    encoder.observe(&(0..20).map(row).collect::<Vec<_>>());
    let spec = NetworkSpec::Mlp { hidden: vec![4], dropout: 0.0 };
    let network = spec.build(&encoder.shape(), targets.outputs()).unwrap();
    let parameters = initialize::initialize(&network, seed, &Device::Cpu).unwrap();
    let bytes = weights::to_bytes(&parameters).unwrap();
    (Model { network, encoder, targets }, bytes)
}

impl Registry {
    async fn publish(&self, number: u64) {
        let (model, bytes) = model(number);
        let digest = self.put_blob(&bytes).await.unwrap();
        let version = Version {
            version: VersionId(number),
            parent: None,
            cause: Cause::Trained,
            trained_seq: Seq(number),
            created_at: OffsetDateTime::UNIX_EPOCH,
            model,
            metrics: VersionMetrics::default(),
            digest,
            weights_kept: true,
        };
        self.versions.lock().unwrap().insert(version.version, version);
    }

    fn set_live(&self, number: u64) {
        *self.live.lock().unwrap() = Some(VersionId(number));
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Version)) {
        change(self.versions.lock().unwrap().get_mut(&VersionId(number)).unwrap());
    }
}

struct Fixture {
    registry: Arc<Registry>,
    metrics: Metrics,
    predictor: Predictor,
}

/// A predictor over versions 1 to `versions`, with 1 live and loaded.
async fn fixture(versions: u64, config: ServingConfig) -> Fixture {
    let registry = Arc::new(Registry::default());
    for number in 1..=versions {
        registry.publish(number).await;
    }
    registry.set_live(1);
    let metrics = Metrics::new();
    let predictor = Predictor::start(registry.clone(), &config, metrics.serving.clone());
    assert_eq!(predictor.load_live(LEARNER, &name()).await.unwrap(), VersionId(1));
    Fixture { registry, metrics, predictor }
}

fn name() -> LearnerName {
    LearnerName::parse("digits").unwrap()
}

fn row(number: usize) -> Row {
    vec![Value::Vector(vec![number as f32, 1.0, 0.25 * number as f32])]
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// What a version answers for a row, by itself.
fn expected(version: VersionId, row: &Row) -> Prediction {
    let (model, bytes) = model(version.0);
    let parameters = weights::from_bytes(&bytes, &model.network, &Device::Cpu).unwrap();
    LoadedModel::new(version, model, &parameters).unwrap().answer([row].into_iter()).unwrap().remove(0)
}

impl Fixture {
    async fn predict(&self, choice: VersionChoice, rows: usize) -> Result<Answer, PredictError> {
        self.predictor.predict(LEARNER, choice, (0..rows).map(row).collect(), later()).await
    }
}

fn close(left: &Prediction, right: &Prediction) -> bool {
    match (left, right) {
        (Prediction::Classes(left), Prediction::Classes(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-6)
        }
        _ => false,
    }
}

#[tokio::test]
async fn predictions_are_probabilities_of_the_live_version() {
    let fixture = fixture(2, ServingConfig::default()).await;
    let answer = fixture.predict(VersionChoice::Live, 5).await.unwrap();
    assert_eq!((answer.version, &*answer.classes), (VersionId(1), &["no".to_owned(), "yes".to_owned()][..]));
    assert_eq!(answer.predictions.len(), 5);
    for (index, prediction) in answer.predictions.iter().enumerate() {
        assert!(close(prediction, &expected(VersionId(1), &row(index))));
        assert!(!close(prediction, &expected(VersionId(2), &row(index))), "versions differ");
        assert!(!close(prediction, &expected(VersionId(1), &row(index + 1))), "rows differ");
        let Prediction::Classes(probabilities) = prediction else { panic!("a classification") };
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    assert_eq!(fixture.metrics.serving.rows.with_label_values(&["digits"]).get(), 5);
}

#[tokio::test]
async fn a_request_larger_than_a_batch_is_answered_whole_from_one_version() {
    let fixture = fixture(1, ServingConfig { batch_rows: 4, ..ServingConfig::default() }).await;
    let answer = fixture.predict(VersionChoice::Live, 11).await.unwrap();
    assert_eq!(answer.predictions.len(), 11);
    let right = |(index, answer): (usize, &Prediction)| close(answer, &expected(VersionId(1), &row(index)));
    assert!(answer.predictions.iter().enumerate().all(right));
    assert_eq!(fixture.metrics.serving.batch_rows.get_sample_count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_moves_in_a_row_end_at_the_newest() {
    let fixture = fixture(9, ServingConfig::default()).await;
    for number in 2..=9 {
        fixture.registry.set_live(number);
        fixture.predictor.live_moved(LEARNER);
    }
    let mut newest = VersionId(1);
    while newest != VersionId(9) {
        let serving = fixture.predictor.serving(LEARNER).unwrap();
        assert!(serving >= newest, "served {newest}, then {serving}");
        newest = serving;
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.metrics.serving.version.with_label_values(&["digits"]).get(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_of_the_version_that_it_names_while_versions_are_swapped() {
    let config = ServingConfig { batch_rows: 8, threads: 2, ..ServingConfig::default() };
    let fixture = Arc::new(fixture(4, config).await);
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..50 {
                    answers.push(fixture.predict(VersionChoice::Live, 3).await.unwrap());
                }
                answers
            })
        })
        .collect();
    for number in [2, 3, 4, 1, 4] {
        fixture.registry.set_live(number);
        fixture.predictor.load_live(LEARNER, &name()).await.unwrap();
    }
    for task in asking {
        for answer in task.await.unwrap() {
            let right = |(index, given): (usize, &Prediction)| close(given, &expected(answer.version, &row(index)));
            assert!(answer.predictions.len() == 3 && answer.predictions.iter().enumerate().all(right));
        }
    }
}

#[tokio::test]
async fn a_damaged_version_leaves_the_previous_one_serving_and_is_counted() {
    let fixture = fixture(2, ServingConfig::default()).await;
    let digest = fixture.registry.put_blob(b"no weights").await.unwrap();
    fixture.registry.change(2, |version| version.digest = digest);
    fixture.registry.set_live(2);
    let outcome = fixture.predictor.load_live(LEARNER, &name()).await;
    assert!(matches!(outcome, Err(PredictError::Damaged(VersionId(2)))), "{outcome:?}");
    assert_eq!(fixture.predict(VersionChoice::Live, 1).await.unwrap().version, VersionId(1));
    assert_eq!(fixture.metrics.serving.load_failures.with_label_values(&["digits"]).get(), 1);
}

#[tokio::test]
async fn a_server_that_starts_on_a_damaged_version_serves_the_one_before() {
    let fixture = fixture(3, ServingConfig::default()).await;
    let digest = fixture.registry.put_blob(b"no weights").await.unwrap();
    fixture.registry.change(3, |version| version.digest = digest);
    fixture.registry.change(2, |version| version.weights_kept = false);
    fixture.registry.set_live(3);
    fixture.predictor.forget(LEARNER);
    assert_eq!(fixture.predictor.load_live(LEARNER, &name()).await.unwrap(), VersionId(1));
    assert_eq!(fixture.predict(VersionChoice::Live, 1).await.unwrap().version, VersionId(1));
}

#[tokio::test]
async fn versions_asked_for_are_kept_as_far_as_there_is_room() {
    let fixture = fixture(3, ServingConfig { cached_versions: 1, ..ServingConfig::default() }).await;
    let reads = || fixture.registry.blobs_read.load(Ordering::Relaxed);
    let before = reads();
    for (version, loads) in [(1, 0), (2, 1), (2, 1), (3, 2), (3, 2), (2, 3), (1, 3)] {
        let answer = fixture.predict(VersionChoice::Version(VersionId(version)), 2).await.unwrap();
        assert_eq!(answer.version, VersionId(version));
        assert!(close(&answer.predictions[1], &expected(VersionId(version), &row(1))));
        assert_eq!(reads() - before, loads, "at version {version}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_or_has_no_weights_says_so() {
    let fixture = fixture(2, ServingConfig::default()).await;
    fixture.registry.change(2, |version| version.weights_kept = false);
    let gone = fixture.predict(VersionChoice::Version(VersionId(2)), 1).await;
    assert!(matches!(gone, Err(PredictError::WeightsGone(VersionId(2)))));
    let unknown = fixture.predict(VersionChoice::Version(VersionId(3)), 1).await;
    assert!(matches!(unknown, Err(PredictError::UnknownVersion(VersionId(3)))));
}

#[tokio::test]
async fn a_row_that_overflows_fails_alone_and_the_thread_goes_on() {
    let fixture = fixture(2, ServingConfig::default()).await;
    let (model, bytes) = model(2);
    let parameters = weights::from_bytes(&bytes, &model.network, &Device::Cpu).unwrap();
    let huge = parameters.into_iter().map(|(id, tensor)| {
        let value = if id.as_str().ends_with("weight") { 1e30 } else { 0.0 };
        (id, tensor.affine(0.0, value).unwrap())
    });
    let digest = fixture.registry.put_blob(&weights::to_bytes(&huge.collect()).unwrap()).await.unwrap();
    fixture.registry.change(2, |version| version.digest = digest);
    fixture.registry.set_live(2);
    fixture.predictor.load_live(LEARNER, &name()).await.unwrap();

    let nothing = vec![vec![Value::Missing]];
    let (overflow, harmless) = tokio::join!(
        fixture.predict(VersionChoice::Live, 20),
        fixture.predictor.predict(LEARNER, VersionChoice::Live, nothing, later())
    );
    assert!(matches!(overflow, Err(PredictError::Failed(VersionId(2)))), "{overflow:?}");
    assert_eq!(harmless.unwrap().predictions, [Prediction::Classes(vec![0.5, 0.5])]);
    assert_eq!(fixture.predict(VersionChoice::Version(VersionId(1)), 1).await.unwrap().predictions.len(), 1);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_answered() {
    let fixture = fixture(1, ServingConfig::default()).await;
    let late = fixture.predictor.predict(LEARNER, VersionChoice::Live, vec![row(1)], Instant::now()).await;
    assert!(matches!(late, Err(PredictError::Deadline)));
    assert_eq!(fixture.metrics.serving.rejections.with_label_values(&["deadline"]).get(), 1);
}

#[tokio::test]
async fn a_forgotten_learner_and_a_stopped_predictor_answer_no_more() {
    let fixture = fixture(1, ServingConfig::default()).await;
    fixture.predictor.stop().await;
    assert!(matches!(fixture.predict(VersionChoice::Live, 1).await, Err(PredictError::Stopping)));
    fixture.predictor.forget(LEARNER);
    assert!(matches!(fixture.predict(VersionChoice::Live, 1).await, Err(PredictError::NotLoaded)));
    assert_eq!(fixture.predictor.serving(LEARNER), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_asked_of_the_store_once_it_changed_and_known_while_the_store_fails() {
    let Fixture { registry, predictor, .. } = fixture(3, ServingConfig::default()).await;
    let canary = AliasName::parse("canary").unwrap();
    let names = |version: u64| *registry.others.lock().unwrap() = Some([("canary".into(), VersionId(version))].into());
    assert!(matches!(predictor.resolve(LEARNER, &canary).await, Err(PredictError::Store(_))));
    *registry.others.lock().unwrap() = Some(BTreeMap::new());
    assert!(matches!(predictor.resolve(LEARNER, &canary).await, Err(PredictError::UnknownAlias)));
    names(2);
    assert_eq!(predictor.resolve(LEARNER, &canary).await.unwrap(), VersionId(2));
    names(3);
    predictor.aliases_changed(LEARNER);
    assert_eq!(predictor.resolve(LEARNER, &canary).await.unwrap(), VersionId(3));
    *registry.others.lock().unwrap() = None;
    assert_eq!(predictor.resolve(LEARNER, &canary).await.unwrap(), VersionId(3));
    predictor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_prepared_as_the_store_has_it_now() {
    let Fixture { registry, predictor, .. } = fixture(2, ServingConfig::default()).await;
    predictor.prepare(LEARNER, VersionId(2)).await.unwrap();
    assert!(matches!(predictor.prepare(LEARNER, VersionId(9)).await, Err(PredictError::UnknownVersion(_))));
    registry.blobs.lock().unwrap().clear();
    assert!(
        matches!(predictor.prepare(LEARNER, VersionId(2)).await, Err(PredictError::Damaged(_))),
        "what is in memory proves nothing of what a restart will find"
    );
    registry.change(2, |version| version.weights_kept = false);
    assert!(matches!(predictor.prepare(LEARNER, VersionId(2)).await, Err(PredictError::WeightsGone(_))));
    predictor.stop().await;
}
