//! Corrections are followed to exactly what the corrected stream says, and a restart needs nothing of what is gone.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;

use super::fixture::{Fixture, create, load, points};
use crate::registry::BlobDigest;
use crate::stream::{
    Append, CorrectionKind, Deletion, EncodedExample, ExampleName, Existing, Label, LearnerId, NewExample, Seq, Value,
};
use crate::training::trainer::{Trainer, TurnEnd, TurnLimits};
use crate::training::{Checkpoint, JournalEvent};

/// Points that can be named: the id of each is its place.
fn named(skip: u64, count: u64) -> Vec<NewExample> {
    let name = |(index, point): (u64, NewExample)| NewExample { id: Some(format!("{}", skip + index + 1)), ..point };
    (0..).zip(points(skip, count)).map(name).collect()
}

async fn delete(fixture: &Fixture, learner: LearnerId, seq: u64) {
    let deletion = fixture.store.delete_example(learner, &ExampleName::Seq(Seq(seq))).await.unwrap();
    assert_eq!(deletion, Deletion::Deleted(Seq(seq)));
}

async fn replace(fixture: &Fixture, learner: LearnerId, seq: u64, row: Vec<Value>, label: &str) {
    let example = NewExample { id: Some(format!("{seq}")), row, label: Label::Class(label.into()) };
    let examples = vec![EncodedExample::from(example)];
    let append = Append { learner, key: None, existing: Existing::Replace, examples, covers: None };
    assert_eq!(fixture.store.append(vec![append]).await.unwrap()[0].as_ref().unwrap().replaced, 1);
}

/// Three deletions and two replacements among the first 300 rows, one of them in what is held out.
async fn correct(fixture: &Fixture, learner: LearnerId) {
    for seq in [1, 22, 150] {
        delete(fixture, learner, seq).await;
    }
    for (seq, label) in [(60, "left"), (61, "right")] {
        replace(fixture, learner, seq, vec![Value::Number(0.25), Value::Missing], label).await;
    }
}

/// Runs a trainer of its own until there is nothing to do.
fn to_rest(trainer: &mut Trainer) {
    let never = AtomicBool::new(false);
    loop {
        let limits = TurnLimits { until: Instant::now(), stop: [&never, &never], wanted_back: &never };
        if trainer.turn(&limits, &|_| ()).unwrap() == TurnEnd::Idle {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_follows_corrections_to_what_a_rebuild_gives() {
    let fixture = Arc::new(Fixture::new().await);
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, named(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    // Its environment without its threads: the trainers here have nobody beside them.
    let supervisor = fixture.supervisor().await;
    let environment = supervisor.inner.environment.clone();
    supervisor.stop().await;
    let within = fixture.clone();
    let trained = tokio::task::spawn_blocking(move || {
        let mut trainer = load(&environment, learner);
        to_rest(&mut trainer);
        let before = trainer.history.clone();
        environment.runtime.block_on(correct(&within, learner));
        to_rest(&mut trainer);
        assert_ne!(trainer.history, before);
        let seqs = [60, 1, 22, 61].map(Seq);
        let rows = trainer.rows.fetch(&seqs).unwrap();
        assert_eq!(rows.iter().map(|row| row.seq.0).collect::<Vec<_>>(), [60, 61], "tombstones are left out");
        assert_eq!(rows[0].row, [Value::Number(0.25), Value::Missing]);
        trainer.wind_up().unwrap();
        let again = load(&environment, learner);
        assert_eq!(again.history, trainer.history);
        assert_eq!(again.history.learned_count(Seq(300)) + again.history.newest_holdout(Seq(300), 300).len(), 297);
        environment.runtime.block_on(environment.store.release_lease(again.fence)).unwrap();
    });
    trained.await.unwrap();
    assert_eq!(fixture.followed(learner).await, 5);
    let journal = fixture.journal(learner).await;
    let inputs: Vec<&JournalEvent> =
        journal.iter().filter(|event| matches!(event, JournalEvent::Corrections { .. })).collect();
    assert_eq!(inputs, [&JournalEvent::Corrections { through: 5 }], "they were followed in one input");
    let after = journal.iter().skip_while(|event| !matches!(event, JournalEvent::Corrections { .. }));
    assert!(
        after.filter(|event| matches!(event, JournalEvent::Pass { .. })).count() > 0,
        "history is passed over again"
    );
}

/// What a process comes to that learns 300 rows, five corrections of them and 300 more, and dies at these places. Nobody runs
/// while the corrections come, so that they are followed in one input.
async fn learned(deaths: &[u64]) -> (Checkpoint, BlobDigest) {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, named(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    correct(&fixture, learner).await;
    let supervisor = fixture.careless_supervisor().await;
    supervisor.corrected(&fixture, learner, 5).await;
    supervisor.stop().await;
    assert_eq!(fixture.followed(learner).await, 5);
    fixture.append(learner, named(300, 300)).await;
    for &stop in deaths {
        let supervisor = fixture.careless_supervisor().await;
        supervisor.until(learner, |status| status.trained_seq.0 >= stop).await;
        supervisor.crash(learner).await;
    }
    let supervisor = fixture.supervisor().await;
    supervisor.rested(learner, 600).await;
    supervisor.stop().await;
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let version = fixture.store.version(learner, live).await.unwrap().unwrap();
    (fixture.checkpoint(learner).await, version.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_stream_gives_the_same_bits_whatever_the_deaths() {
    let (whole, live) = learned(&[]).await;
    for deaths in [&[364, 500][..], &[301, 420, 580]] {
        let (checkpoint, digest) = learned(deaths).await;
        assert_eq!(checkpoint.weights, whole.weights, "{deaths:?}");
        assert_eq!(checkpoint.optimizer, whole.optimizer, "{deaths:?}");
        assert_eq!(checkpoint.model, whole.model, "{deaths:?}");
        assert_eq!(checkpoint.progress, whole.progress, "{deaths:?}");
        assert_eq!(digest, live, "{deaths:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_deleted_before_they_are_learned_are_passed_over() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    supervisor.stop().await;
    fixture.append(learner, named(0, 64)).await;
    for seq in 1..=64 {
        delete(&fixture, learner, seq).await;
    }
    fixture.append(learner, named(64, 64)).await;
    let supervisor = fixture.supervisor().await;
    let status = supervisor.rested(learner, 128).await;
    assert_eq!(status.metrics.progressive_rows, 64);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_comes_by_replacement_gets_its_output() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let task = json!({"kind": "classification", "classes": ["left", "right"], "open_classes": true});
    let learner = create(&supervisor, "points", json!({"task": task})).await.id;
    fixture.append(learner, named(0, 100)).await;
    supervisor.rested(learner, 100).await;
    replace(&fixture, learner, 10, vec![Value::Number(9.0), Value::Number(9.0)], "far").await;
    supervisor.corrected(&fixture, learner, 1).await;
    assert_eq!(supervisor.status(learner).unwrap().network.output_shape().elements(), 3);
    supervisor.stop().await;
    let correction = fixture.store.corrections(learner, 0, 10).await.unwrap()[0];
    assert_eq!((correction.seq, correction.kind), (Seq(10), CorrectionKind::Replaced));
}
