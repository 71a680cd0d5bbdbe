//! What the claims begin with: a small learner, its examples, its trainer's writes.

use serde_json::json;
use time::Duration;

use crate::network::builders::NetworkSpec;
use crate::registry::{Cause, Model, VersionId, VersionMetrics};
use crate::stream::{
    Append, AppendRefusal, Appended, EncodedExample, Encoder, Existing, Feature, FeatureKind, IdempotencyKey, Label,
    LearnerId, LearnerName, NewExample, Schema, Seq, Targets, Task, Value,
};
use crate::training::{Checkpoint, Commit, Fence, LearnerDocument, LearnerRecord, NewVersion, Store};

/// A learner's document: two classes of two numbers.
pub(crate) fn document(name: &str) -> LearnerDocument {
    let numeric = |name: &str| Feature::new(name, FeatureKind::Numeric);
    LearnerDocument {
        name: LearnerName::parse(name).unwrap(),
        task: Task::Classification { classes: vec!["no".into(), "yes".into()], open_classes: false },
        schema: Schema { features: vec![numeric("a"), numeric("b")] },
        network: NetworkSpec::Mlp { hidden: vec![3], dropout: 0.0 },
        training: Default::default(),
        policy: Default::default(),
    }
}

/// The model of [`document`].
pub(crate) fn model() -> Model {
    let document = document("any");
    let encoder = Encoder::new(&document.schema);
    let targets = Targets::new(&document.task);
    let network = document.network.build(&encoder.shape(), targets.outputs()).unwrap();
    Model { network, encoder, targets }
}

/// A version, with its weights put into the store.
pub(crate) async fn version(store: &dyn Store, number: u64, cause: Cause, weights: &[u8]) -> NewVersion {
    NewVersion {
        version: VersionId(number),
        parent: (number > 1).then(|| VersionId(number - 1)),
        cause,
        trained_seq: Seq(10 * (number - 1)),
        model: model(),
        metrics: VersionMetrics { holdout_rows: number, holdout_loss: Some(0.1), ..Default::default() },
        digest: store.put_blob(weights).await.unwrap(),
    }
}

/// A checkpoint, with its blobs put into the store.
pub(crate) async fn checkpoint(store: &dyn Store, last_version: u64, weights: &[u8]) -> Checkpoint {
    Checkpoint {
        position: last_version,
        trained_seq: Seq(10 * (last_version - 1)),
        last_version: VersionId(last_version),
        accepted: VersionId(last_version),
        model: model(),
        weights: store.put_blob(weights).await.unwrap(),
        optimizer: store.put_blob(&[b"moments of ", weights].concat()).await.unwrap(),
        progress: json!({ "steps": last_version }),
    }
}

/// A learner in the store.
pub(crate) async fn learner(store: &dyn Store, name: &str) -> LearnerRecord {
    let weights = format!("first weights of {name}");
    let first = version(store, 1, Cause::Created, weights.as_bytes()).await;
    let checkpoint = checkpoint(store, 1, weights.as_bytes()).await;
    store.create_learner(&document(name), first, checkpoint).await.unwrap()
}

/// Its lease, for a minute.
pub(crate) async fn fence(store: &dyn Store, learner: LearnerId) -> Fence {
    store.acquire_lease(learner, "a trainer", Duration::MINUTE).await.unwrap().unwrap()
}

/// A commit that replaces the checkpoint and nothing else.
pub(crate) fn bare(checkpoint: Checkpoint) -> Commit {
    Commit { checkpoint, versions: Vec::new(), live: None, journal: Vec::new(), tickets: Vec::new(), schema: None }
}

/// Publishes this version as `live`, with a checkpoint of its weights.
pub(crate) async fn publish(store: &dyn Store, fence: Fence, number: u64, cause: Cause) {
    let weights = format!("weights {number} of learner {}", fence.learner.0);
    let mut commit = bare(checkpoint(store, number, weights.as_bytes()).await);
    commit.versions = vec![version(store, number, cause, weights.as_bytes()).await];
    commit.live = Some(VersionId(number));
    store.commit(fence, commit).await.unwrap();
}

/// An example; `number` tells it from others.
pub(crate) fn example(id: Option<&str>, number: f64) -> NewExample {
    NewExample {
        id: id.map(str::to_owned),
        row: vec![Value::Number(number), Value::Missing],
        label: Label::Class("yes".into()),
    }
}

/// A request without a key.
pub(crate) fn request(learner: LearnerId, examples: Vec<NewExample>) -> Append {
    let examples = examples.into_iter().map(EncodedExample::from).collect();
    Append { learner, key: None, existing: Existing::Keep, examples, covers: None }
}

/// A request under a key; `body` stands for the body's digest.
pub(crate) fn keyed(learner: LearnerId, key: &str, body: u8, examples: Vec<NewExample>) -> Append {
    Append { key: Some(IdempotencyKey { key: key.into(), body: [body; 32] }), ..request(learner, examples) }
}

/// Appends one request.
pub(crate) async fn append(store: &dyn Store, request: Append) -> Result<Appended, AppendRefusal> {
    store.append(vec![request]).await.unwrap().pop().unwrap()
}

/// The first numbers of the rows at a learner's places, from the first place to the last; fails if there is a gap.
pub(crate) async fn numbers(store: &dyn Store, learner: LearnerId) -> Vec<f64> {
    let stored = store.read(learner, Seq(0), usize::MAX).await.unwrap();
    let places: Vec<u64> = stored.iter().map(|entry| entry.seq().0).collect();
    assert_eq!(places, (1..=stored.len() as u64).collect::<Vec<_>>(), "places are dense from 1");
    assert_eq!(store.head(learner).await.unwrap().0, stored.len() as u64, "the head is the last place");
    stored
        .iter()
        .map(|entry| match entry.example().expect("nothing was deleted").row[0] {
            Value::Number(number) => number,
            _ => panic!("the first value is a number"),
        })
        .collect()
}
