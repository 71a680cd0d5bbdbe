//! Averages of the weights in a learner's life: published, kept through growth and settings, and left behind.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::json;

use super::fixture::{Fixture, create, points};
use crate::compute::optimizer::{Optimizer, OptimizerState};
use crate::growth::{Extent, Nodes, Split, Wider};
use crate::network::execute::evaluate;
use crate::network::weights;
use crate::registry::{BlobDigest, Version};
use crate::stream::{LearnerId, Seq};
use crate::training::{Checkpoint, GrowthOrder, JournalEvent, LearnerPatch, LearnerRecord};

type Numbers = BTreeMap<String, Vec<f32>>;

fn averaging() -> serde_json::Value {
    json!({"training": {"average_decay": 0.9, "clip_norm": 1.0, "schedule": {"kind": "warmup", "steps": 20}}})
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

async fn file(fixture: &Fixture, digest: BlobDigest) -> Vec<u8> {
    fixture.store.get_blob(digest).await.unwrap().unwrap()
}

/// The checkpoint with its weights and averages.
async fn state(fixture: &Fixture, learner: LearnerId) -> (Checkpoint, Numbers, Numbers) {
    let checkpoint = fixture.checkpoint(learner).await;
    let device = candle_core::Device::Cpu;
    let parameters = file(fixture, checkpoint.weights).await;
    let parameters = weights::from_bytes(&parameters, &checkpoint.model.network, &device).unwrap();
    let optimizer = OptimizerState::from_bytes(&file(fixture, checkpoint.optimizer).await, &device).unwrap();
    let weights = parameters.iter().map(|(id, value)| (id.to_string(), flat(value))).collect();
    let averages = optimizer.moments.iter();
    let averages =
        averages.filter_map(|(name, moments)| Some((name.clone(), flat(moments.average.as_ref()?)))).collect();
    (checkpoint, weights, averages)
}

async fn live(fixture: &Fixture, learner: LearnerId) -> Version {
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    fixture.store.version(learner, live).await.unwrap().unwrap()
}

async fn numbers(fixture: &Fixture, version: &Version) -> Numbers {
    let parameters = file(fixture, version.digest).await;
    let parameters = weights::from_bytes(&parameters, &version.model.network, &candle_core::Device::Cpu).unwrap();
    parameters.iter().map(|(id, value)| (id.to_string(), flat(value))).collect()
}

async fn patch(fixture: &Fixture, record: &LearnerRecord, changes: serde_json::Value) {
    let patch: LearnerPatch = serde_json::from_value(json!({ "training": changes })).unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(record.id, record.revision, &document).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_have_the_averaged_weights_and_training_goes_on_with_the_newest() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", averaging()).await.id;
    let (_, weights, averages) = state(&fixture, learner).await;
    assert_eq!(averages, weights, "an average begins at the weights");
    fixture.append(learner, points(0, 300)).await;
    let status = supervisor.rested(learner, 300).await;
    let (_, weights, averages) = state(&fixture, learner).await;
    assert_ne!(averages, weights);
    let newest = live(&fixture, learner).await;
    assert_eq!(newest.trained_seq.0, 300);
    assert_eq!(numbers(&fixture, &newest).await, averages);
    assert!(status.metrics.recent_accuracy.unwrap() > 0.8);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn teacher_and_student_of_a_growth_are_published_with_their_averages() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", averaging()).await.id;
    fixture.append(learner, points(0, 200)).await;
    supervisor.rested(learner, 200).await;
    let taught = live(&fixture, learner).await;
    let order = Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split: Split::Replicate };
    let ticket = fixture.store.order_growth(learner, &GrowthOrder::Wider(order)).await.unwrap();
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.summary() == "4-8-2").await;
    supervisor.stop().await;
    let event = fixture.store.ticket(learner, ticket.id).await.unwrap().unwrap().event.unwrap();
    assert!(event.certificate.preserved && event.certificate.max_rel_diff > 0.0);
    assert_eq!(event.teacher, taught.version);
    let student = fixture.store.version(learner, event.version).await.unwrap().unwrap();
    let (before, after) = (answers(&fixture, &taught).await, answers(&fixture, &student).await);
    assert!(before.iter().zip(&after).all(|(old, new)| (old - new).abs() <= 1e-5 * old.abs().max(1.0)));
}

/// What a version's weights answer on a few rows.
async fn answers(fixture: &Fixture, version: &Version) -> Vec<f32> {
    let (network, device) = (&version.model.network, candle_core::Device::Cpu);
    let parameters = weights::from_bytes(&file(fixture, version.digest).await, network, &device).unwrap();
    let rows: Vec<f32> = (0..24).map(|index| (index as f32).sin()).collect();
    flat(&evaluate(network, &parameters, &Tensor::from_vec(rows, (6, 4), &device).unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_begin_and_end_an_average() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let record = create(&supervisor, "points", json!({})).await;
    let learner = record.id;
    fixture.append(learner, points(0, 100)).await;
    supervisor.rested(learner, 100).await;
    assert!(state(&fixture, learner).await.2.is_empty());
    patch(&fixture, &record, json!({"average_decay": 0.99})).await;
    fixture.append(learner, points(100, 100)).await;
    supervisor.rested(learner, 200).await;
    let (_, weights, averages) = state(&fixture, learner).await;
    assert!(averages.len() == weights.len() && averages != weights);
    let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
    let optimizer = json!({"average_decay": 0.99, "optimizer": "sgd"});
    patch(&fixture, &record, optimizer).await;
    fixture.append(learner, points(200, 100)).await;
    supervisor.rested(learner, 300).await;
    let (_, weights, averages) = state(&fixture, learner).await;
    assert!(averages.len() == weights.len() && averages != weights, "another optimizer keeps the average");
    let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
    patch(&fixture, &record, json!({"average_decay": null})).await;
    fixture.append(learner, points(300, 50)).await;
    supervisor.rested(learner, 350).await;
    supervisor.stop().await;
    let (_, weights, averages) = state(&fixture, learner).await;
    assert!(averages.is_empty());
    let newest = live(&fixture, learner).await;
    assert_eq!((newest.trained_seq, numbers(&fixture, &newest).await), (Seq(350), weights));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_set_back_averages_begin_at_what_is_live() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"holdout_share": 0.3, "gate_patience": 1, "max_passes": 0, "average_decay": 0.9});
    let record = create(&supervisor, "points", json!({ "training": settings })).await;
    let learner = record.id;
    fixture.append(learner, points(0, 500)).await;
    supervisor.rested(learner, 500).await;
    let good = live(&fixture, learner).await;
    patch(&fixture, &record, json!({"learning_rate": 10.0})).await;
    fixture.append(learner, points(500, 100)).await;
    supervisor.rested(learner, 600).await;
    supervisor.stop().await;
    let journal = fixture.journal(learner).await;
    assert!(journal.iter().any(|event| matches!(event, JournalEvent::SetBack { .. })));
    let (_, weights, averages) = state(&fixture, learner).await;
    assert_eq!(averages, weights);
    assert_eq!(averages, numbers(&fixture, &good).await);
}

#[test]
fn what_is_published_is_the_average_where_there_is_one() {
    use crate::network::builders::NetworkSpec;
    use crate::network::initialize::initialize;
    use crate::network::{ParameterKind, Shape};
    use crate::training::TrainingSettings;
    use crate::training::averages::{Kept, keep, published};
    use crate::training::step::first_state;

    let network = NetworkSpec::Cnn { channels: vec![2] }.build(&Shape::image(1, 4, 4), 2).unwrap();
    let parameters = initialize(&network, 1, &candle_core::Device::Cpu).unwrap();
    let mut state = first_state(&network, parameters, &Optimizer::ADAM).unwrap();
    let none = TrainingSettings::default();
    let some = TrainingSettings { average_decay: 0.9, ..none.clone() };
    assert_eq!(keep(&mut state, &none), Kept::Same);
    assert!(matches!(published(&state), Cow::Borrowed(_)));
    assert_eq!(keep(&mut state, &some), Kept::Same);
    for moments in state.optimizer.moments.values_mut() {
        moments.average = moments.average.as_ref().map(|average| (average + 1.0).unwrap());
    }
    assert_eq!(keep(&mut state, &some), Kept::Same, "an average that is there goes on");
    for (id, spec) in network.parameters() {
        let (weight, served) = (flat(&state.parameters[&id]), flat(&published(&state)[&id]));
        let added = if spec.kind == ParameterKind::Trained { 1.0 } else { 0.0 };
        assert!(weight.iter().zip(&served).all(|(weight, served)| *served == weight + added), "{id}");
    }
    assert_eq!(keep(&mut state, &none), Kept::Dropped);
    assert_eq!(
        flat(&published(&state).values().next().unwrap().clone()),
        flat(state.parameters.values().next().unwrap())
    );
}
