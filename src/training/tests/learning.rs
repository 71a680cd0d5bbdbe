//! What a trainer learns, and what it refuses to keep.

use serde_json::json;

use super::fixture::{Fixture, create, example, points};
use crate::compute::optimizer::OptimizerState;
use crate::compute::random::{Purpose, Random};
use crate::network::weights;
use crate::registry::{Cause, VersionId};
use crate::stream::{Label, LearnerId, Seq, Value};
use crate::training::{JournalEvent, LearnerPatch};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_learned_to_its_head_and_the_learner_rests() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, points(0, 600)).await;
    let status = supervisor.rested(learner, 600).await;
    assert_eq!(status.metrics.progressive_rows, 600);
    let accuracy = status.metrics.recent_accuracy.unwrap();
    assert!(accuracy > 0.85, "progressive accuracy {accuracy}");
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let version = fixture.store.version(learner, live).await.unwrap().unwrap();
    assert_eq!((version.trained_seq, version.cause), (Seq(600), Cause::Trained));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_offered_as_new_exactly_once() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    for part in 0..4 {
        fixture.append(learner, points(50 * part, 50)).await;
        supervisor.rested(learner, 50 * (part + 1)).await;
    }
    let mut next = 1;
    for event in fixture.journal(learner).await {
        if let JournalEvent::Round { first, last } = event {
            assert_eq!(first.0, next);
            next = last.0 + 1;
        }
    }
    assert_eq!(next, 201);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regression_learns_to_do_better_than_the_mean() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "plane", json!({"task": {"kind": "regression"}})).await.id;
    let rows = (0..600).map(|index| {
        let mut random = Random::keyed(7, Purpose::Demonstration, index, "plane");
        let (x, y) = (random.normal(), random.normal());
        example(vec![Value::Number(x), Value::Number(y)], Label::Number(1_000.0 + 50.0 * x - 20.0 * y))
    });
    fixture.append(learner, rows.collect()).await;
    let status = supervisor.rested(learner, 600).await;
    let holdout = status.metrics.holdout_loss.unwrap();
    // Half the squared error in units of the targets' variance: 0.5 is what always answering the mean gets.
    assert!(holdout < 0.1, "holdout loss {holdout}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_settings_hold_from_a_place_in_the_journal() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let record = create(&supervisor, "points", json!({})).await;
    fixture.append(record.id, points(0, 100)).await;
    supervisor.rested(record.id, 100).await;
    let patch = json!({"training": {"optimizer": "sgd", "learning_rate": 0.05}});
    let patch: LearnerPatch = serde_json::from_value(patch).unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(record.id, record.revision, &document).await.unwrap().unwrap();
    fixture.append(record.id, points(100, 100)).await;
    supervisor.rested(record.id, 200).await;
    let journal = fixture.journal(record.id).await;
    let settings = journal.iter().position(|event| matches!(event, JournalEvent::Settings { revision: 2, .. }));
    let round = journal.iter().position(|event| matches!(event, JournalEvent::Round { last: Seq(200), .. }));
    assert!(settings.unwrap() < round.unwrap());
    assert!(optimizer(&fixture, record.id).await.moments.values().all(|moments| moments.second.is_none()));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_begins_when_it_is_set() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let record = create(&supervisor, "points", json!({})).await;
    fixture.append(record.id, points(0, 100)).await;
    let steps = supervisor.rested(record.id, 100).await.steps;
    assert!(steps > 0);
    let begun = async || fixture.checkpoint(record.id).await.progress["rates"]["scheduled_at"].as_u64().unwrap();
    assert_eq!(begun().await, 0);
    let changes = [json!({"schedule": {"kind": "warmup", "steps": 50}}), json!({"batch": 16})];
    for (rows, changes) in [150, 200].into_iter().zip(changes) {
        let current = fixture.store.learner_by_id(record.id).await.unwrap().unwrap();
        let patch = json!({ "training": changes });
        let patch: LearnerPatch = serde_json::from_value(patch).unwrap();
        let document = current.document.apply_patch(&patch).unwrap();
        fixture.store.update_learner(record.id, current.revision, &document).await.unwrap().unwrap();
        fixture.append(record.id, points(rows - 50, 50)).await;
        supervisor.rested(record.id, rows).await;
        assert_eq!(begun().await, steps, "other settings leave it where it began");
    }
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_non_finite_reaches_a_checkpoint() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let absurd = json!({"training": {"learning_rate": 1e30, "optimizer": "sgd", "max_passes": 0}});
    let learner = create(&supervisor, "absurd", absurd).await.id;
    fixture.append(learner, points(0, 400)).await;
    supervisor.rested(learner, 400).await;
    let journal = fixture.journal(learner).await;
    assert!(journal.iter().any(|event| matches!(event, JournalEvent::NonFinite { .. })));
    let lowest = set_backs(&fixture, learner).await.into_iter().map(|(_, factor)| factor).fold(1.0, f64::min);
    assert!(lowest < 0.5, "training was set back more than once");
    // Reading a weights file refuses numbers that are not finite.
    let checkpoint = fixture.checkpoint(learner).await;
    let file = fixture.store.get_blob(checkpoint.weights).await.unwrap().unwrap();
    weights::from_bytes(&file, &checkpoint.model.network, &candle_core::Device::Cpu).unwrap();
    for moments in optimizer(&fixture, learner).await.moments.into_values() {
        for tensor in [moments.first, moments.second].into_iter().flatten() {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
    let live = fixture.store.alias(learner, "live").await.unwrap();
    assert!(live.is_some_and(|version| version >= VersionId(1)));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_only_give_non_finite_numbers_are_replaced_by_the_live_versions() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    // One step a round: the state before a round that fails is the one that an absurd step made.
    let absurd = json!({"learning_rate": 1e30, "optimizer": "sgd", "max_passes": 0, "steps_per_row": 0.018});
    let learner = create(&supervisor, "absurd", json!({"training": absurd})).await.id;
    fixture.append(learner, points(0, 1_500)).await;
    supervisor.rested(learner, 1_500).await;
    let reasons: Vec<String> = set_backs(&fixture, learner).await.into_iter().map(|(reason, _)| reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("before this input")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("accepted last")), "{reasons:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn training_is_set_back_when_the_gate_keeps_refusing() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"holdout_share": 0.3, "gate_patience": 2, "max_passes": 0});
    let record = create(&supervisor, "points", json!({"training": settings})).await;
    let learner = record.id;
    fixture.append(learner, points(0, 500)).await;
    supervisor.rested(learner, 500).await;
    let good = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let patch: LearnerPatch = serde_json::from_value(json!({"training": {"learning_rate": 10.0}})).unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(learner, record.revision, &document).await.unwrap().unwrap();
    fixture.append(learner, points(500, 300)).await;
    supervisor.rested(learner, 800).await;
    let set_backs = set_backs(&fixture, learner).await;
    assert_eq!(set_backs.first().map(|(_, factor)| *factor), Some(0.5), "{set_backs:?}");
    assert_eq!(fixture.store.alias(learner, "live").await.unwrap(), Some(good));
    supervisor.stop().await;
}

/// The reason and the rate factor of every set-back.
async fn set_backs(fixture: &Fixture, learner: LearnerId) -> Vec<(String, f64)> {
    let journal = fixture.journal(learner).await;
    let set_back = journal.into_iter().filter_map(|event| match event {
        JournalEvent::SetBack { reason, learning_rate_factor, .. } => Some((reason, learning_rate_factor)),
        _ => None,
    });
    set_back.collect()
}

async fn optimizer(fixture: &Fixture, learner: LearnerId) -> OptimizerState {
    let checkpoint = fixture.checkpoint(learner).await;
    let file = fixture.store.get_blob(checkpoint.optimizer).await.unwrap().unwrap();
    OptimizerState::from_bytes(&file, &candle_core::Device::Cpu).unwrap()
}
