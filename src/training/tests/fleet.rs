//! Several supervisors on one store, as several processes would be: who trains what, and that nothing is done twice.

use std::collections::BTreeSet;

use serde_json::json;
use time::Duration;

use super::fixture::{Fixture, create, document, eventually, points};
use super::restart::make_it_panic;
use crate::config::FleetConfig;
use crate::registry::BlobDigest;
use crate::stream::{LearnerId, Seq, StoreError};
use crate::training::standing::standing;
use crate::training::store::Fence;
use crate::training::{Checkpoint, JournalEvent, Overview, TrainingState, creation};

/// A fleet that keeps what it has: nothing is given back but by the end of a process.
fn keeping() -> FleetConfig {
    FleetConfig { poll_ms: 50, idle_seconds: 3_600, share_seconds: 3_600, ..FleetConfig::default() }
}

/// A fleet whose members give back at once what others could do.
fn giving() -> FleetConfig {
    FleetConfig { idle_seconds: 0, share_seconds: 1, ..keeping() }
}

/// A learner that grows by its policy on the way.
fn growing() -> serde_json::Value {
    json!({
        "policy": {"kind": "data_volume", "refractory_rows": 100},
        "network": {"kind": "mlp", "hidden": [2]},
        "training": {"average_decay": 0.95},
    })
}

/// One whose passes over history take long.
fn slow() -> serde_json::Value {
    json!({"training": {"max_passes": 1_000}, "network": {"kind": "mlp", "hidden": [96, 96]}})
}

fn holder(overview: &Overview) -> Option<String> {
    overview.holder.as_ref().map(|holder| holder.owner.clone())
}

fn is_all_learned(overview: &Overview, seq: u64) -> bool {
    overview.trained_seq == Seq(seq) && overview.holder.is_none()
}

/// Learns 700 rows, by one worker after the other, each of which dies when it has got so far.
async fn learned(deaths: &[u64]) -> (Checkpoint, BlobDigest) {
    let fixture = Fixture::new().await;
    let learner = creation::create(&fixture.store, document("points", growing())).await.unwrap().id;
    fixture.append(learner, points(0, 700)).await;
    for &seq in deaths {
        let worker = fixture.careless_worker(keeping()).await;
        worker.until(learner, |status| status.trained_seq.0 >= seq).await;
        worker.die().await;
        let left = fixture.store.overview_of(learner).await.unwrap().unwrap();
        assert!(left.holder.is_some(), "the dead hold their leases until they run out");
    }
    let worker = fixture.worker(FleetConfig { idle_seconds: 0, ..keeping() }).await;
    fixture.until(learner, |overview| is_all_learned(overview, 700)).await;
    worker.stop().await;
    fixture.rounds(learner).await;
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let version = fixture.store.version(learner, live).await.unwrap().unwrap();
    (fixture.checkpoint(learner).await, version.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_whose_worker_died_goes_on_elsewhere_to_the_same_bits() {
    let (whole, live) = learned(&[]).await;
    let (checkpoint, digest) = learned(&[100, 450]).await;
    assert_eq!(checkpoint.weights, whole.weights);
    assert_eq!(checkpoint.optimizer, whole.optimizer);
    assert_eq!(checkpoint.model, whole.model);
    assert_eq!(checkpoint.progress, whole.progress);
    assert_eq!((checkpoint.last_version, digest), (whole.last_version, live));
}

/// Another process takes a learner, as if the worker that holds it had been stopped for longer than its lease.
async fn steal(fixture: &Fixture, learner: LearnerId, fence: Fence) -> Fence {
    loop {
        fixture.store.renew_lease(fence, Duration::ZERO).await.unwrap();
        let taken = fixture.store.acquire_lease(learner, "another process", Duration::HOUR).await.unwrap();
        if let Some(thief) = taken {
            return thief;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_overtaken_writes_nothing_and_goes_on_with_others() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(keeping()).await;
    let stolen = create(&worker, "stolen", json!({})).await.id;
    fixture.append(stolen, points(0, 600)).await;
    worker.until(stolen, |status| status.trained_seq.0 > 0).await;
    let owner = worker.inner.environment.owner.clone();
    let fence = worker.inner.slot(stolen).unwrap().fence().unwrap();
    let thief = steal(&fixture, stolen, fence).await;
    let before = fixture.checkpoint(stolen).await;
    let other = create(&worker, "other", json!({})).await.id;
    fixture.append(other, points(0, 300)).await;
    worker.rested(other, 300).await;
    let after = fixture.checkpoint(stolen).await;
    assert_eq!(
        (before.position, before.weights),
        (after.position, after.weights),
        "nothing was written under the old fence"
    );
    let slot = worker.inner.slot(stolen).unwrap();
    eventually(|| slot.fence().is_none()).await;
    assert!(worker.status(stolen).is_none(), "it is not for this process to say");
    let refused = fixture.store.append_journal(fence, vec![]).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost)));
    // Given back, the learner goes on here.
    fixture.append(stolen, points(600, 300)).await;
    fixture.store.release_lease(thief).await.unwrap();
    fixture.until(stolen, |overview| holder(overview).as_ref() == Some(&owner)).await;
    worker.until(stolen, |status| status.trained_seq.0 == 900).await;
    worker.stop().await;
    fixture.rounds(stolen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_free_for_a_moment_only_is_taken_when_it_is_given_back() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(keeping()).await;
    let learner = create(&worker, "points", slow()).await.id;
    fixture.append(learner, points(0, 1_000)).await;
    // From here on only passes are left to do, and whoever looks at the store does not see that at once.
    fixture.until(learner, |overview| overview.trained_seq == Seq(1_000)).await;
    let slot = worker.inner.slot(learner).unwrap();
    let thief = steal(&fixture, learner, slot.fence().unwrap()).await;
    eventually(|| slot.fence().is_none()).await;
    // It had run out when it was looked at, and was renewed before it could be taken.
    let held = fixture.store.overview_of(learner).await.unwrap().unwrap();
    worker.inner.compare(&Overview { holder: None, ..held.clone() }).await.unwrap();
    eventually(|| slot.is_elsewhere() && !worker.inner.queue.holds(learner)).await;
    fixture.store.release_lease(thief).await.unwrap();
    fixture.until(learner, |overview| overview.token > held.token).await;
    worker.stop().await;
    fixture.rounds(learner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn learners_spread_over_workers_and_one_that_comes_later_gets_its_share() {
    let fixture = Fixture::new().await;
    let first = fixture.worker(giving()).await;
    let mut learners = Vec::new();
    for name in ["a", "b", "c"] {
        let learner = creation::create(&fixture.store, document(name, json!({}))).await.unwrap().id;
        fixture.append(learner, points(0, 600)).await;
        learners.push(learner);
    }
    for &learner in &learners {
        fixture.until(learner, |overview| overview.trained_seq > Seq(0)).await;
    }
    // With one trainer it has more to do than it can: another process is welcome.
    let second = fixture.worker(giving()).await;
    let owners = [&first, &second].map(|worker| worker.inner.environment.owner.clone());
    let mut seen = BTreeSet::new();
    let mut rows = 600;
    while !owners.iter().all(|owner| seen.contains(owner)) {
        for &learner in &learners {
            // All of them have something to do, however fast they learn.
            fixture.append(learner, points(rows, 100)).await;
            let overview = fixture.until(learner, |overview| overview.holder.is_some()).await;
            seen.extend(holder(&overview));
        }
        rows += 100;
    }
    first.stop().await;
    second.stop().await;
    for &learner in &learners {
        fixture.rounds(learner).await;
        let overview = fixture.store.overview_of(learner).await.unwrap().unwrap();
        assert_eq!(overview.holder, None, "a worker that stops gives its learners back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_processes_create_change_and_delete_is_followed() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(keeping()).await;
    let record = creation::create(&fixture.store, document("points", json!({}))).await.unwrap();
    let learner = record.id;
    fixture.append(learner, points(0, 100)).await;
    worker.until(learner, |status| status.state == TrainingState::Idle && status.trained_seq.0 == 100).await;
    let position = fixture.checkpoint(learner).await.position;
    let mut changed = record.document.clone();
    changed.training.learning_rate = 0.001;
    fixture.store.update_learner(learner, record.revision, &changed).await.unwrap().unwrap();
    // The settings' record is behind everything before it in the journal, and a checkpoint follows.
    fixture.until(learner, |overview| overview.position > position).await;
    let journal = fixture.journal(learner).await;
    assert!(journal.iter().any(|event| matches!(event, JournalEvent::Settings { revision: 2, .. })));
    let slot = worker.inner.slot(learner).unwrap();
    fixture.append(learner, points(100, 5_000)).await;
    worker.until(learner, |status| status.trained_seq.0 > 100).await;
    assert!(fixture.store.delete_learner(learner).await.unwrap());
    eventually(|| worker.inner.slot(learner).is_none() && slot.fence().is_none()).await;
    assert_ne!(slot.status().state, TrainingState::Failed, "a deleted learner is no failure");
    // The name is free, and the process goes on.
    let again = creation::create(&fixture.store, document("points", json!({}))).await.unwrap().id;
    fixture.append(again, points(0, 100)).await;
    fixture.until(again, |overview| overview.trained_seq == Seq(100)).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_rests_is_given_back_and_taken_when_there_is_something_new() {
    let fixture = Fixture::new().await;
    let workers = [fixture.worker(giving()).await, fixture.worker(giving()).await];
    let learner = creation::create(&fixture.store, document("points", json!({}))).await.unwrap().id;
    let mut token = 0;
    for part in 1..=3 {
        fixture.append(learner, points(100 * (part - 1), 100)).await;
        let overview = fixture.until(learner, |overview| is_all_learned(overview, 100 * part)).await;
        assert!(overview.token > token, "it was taken again");
        token = overview.token;
        let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
        let status = standing(&*fixture.store, &record, &overview).await.unwrap().unwrap();
        assert_eq!((status.state, status.trained_seq), (TrainingState::Idle, Seq(100 * part)));
        assert_eq!(status.metrics.progressive_rows, 100 * part);
    }
    fixture.rounds(learner).await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_seen_by_every_process_and_the_learner_is_tried_again() {
    let fixture = Fixture::new().await;
    let worker = fixture.worker(keeping()).await;
    let learner = create(&worker, "points", json!({})).await.id;
    fixture.append(learner, points(0, 100)).await;
    worker.rested(learner, 100).await;
    make_it_panic(&worker, learner).await;
    fixture.append(learner, points(100, 100)).await;
    let failed = fixture.until(learner, |overview| overview.failure.is_some()).await;
    let failure = failed.failure.clone().unwrap();
    assert_eq!((failure.kind.as_str(), &failed.holder), ("panicked", &None));
    let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
    let status = standing(&*fixture.store, &record, &failed).await.unwrap().unwrap();
    assert_eq!(status.state, TrainingState::Failed);
    let better = fixture.until(learner, |overview| overview.trained_seq == Seq(200)).await;
    assert_eq!(better.failure, None);
    worker.stop().await;
    fixture.rounds(learner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_another_process_holds_is_not_asked_for_again_and_again() {
    let fixture = Fixture::new().await;
    let learner = creation::create(&fixture.store, document("points", json!({}))).await.unwrap().id;
    let lease = fixture.store.acquire_lease(learner, "another process", Duration::HOUR).await.unwrap().unwrap();
    let worker = fixture.worker(keeping()).await;
    eventually(|| worker.inner.slot(learner).is_some()).await;
    for part in 0..20 {
        fixture.append(learner, points(10 * part, 10)).await;
    }
    // A second learner comes and is learned: meanwhile the first one was told of again and again.
    let other = create(&worker, "other", json!({})).await.id;
    fixture.append(other, points(0, 100)).await;
    worker.rested(other, 100).await;
    assert!(!worker.inner.queue.holds(learner), "it stands in no queue");
    assert!(worker.inner.slot(learner).unwrap().is_elsewhere());
    fixture.store.release_lease(lease).await.unwrap();
    fixture.until(learner, |overview| overview.trained_seq == Seq(200)).await;
    worker.stop().await;
}
