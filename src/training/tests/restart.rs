//! A restart continues as if nothing had happened, and nobody trains what another holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use time::Duration;

use super::fixture::{Fixture, create, document, points};
use crate::registry::{BlobDigest, VersionId};
use crate::stream::LearnerId;
use crate::training::{Checkpoint, Supervisor, TrainingState};

/// What must not depend on restarts.
async fn bits(fixture: &Fixture, learner: LearnerId) -> (Checkpoint, BlobDigest) {
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let version = fixture.store.version(learner, live).await.unwrap().unwrap();
    (fixture.checkpoint(learner).await, version.digest)
}

fn settings() -> serde_json::Value {
    json!({
        "policy": {"kind": "data_volume", "refractory_rows": 100},
        "network": {"kind": "mlp", "hidden": [2]},
        "training": {"weight_decay": 0.01},
    })
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Stop,
    Crash,
}

async fn end(supervisor: Supervisor, learner: LearnerId, ending: Ending) {
    match ending {
        Ending::Stop => supervisor.stop().await,
        Ending::Crash => supervisor.crash(learner).await,
    }
}

/// Learns a stream with an end and a new start after each of these many rows.
async fn learned(stops: &[u64], ending: Ending) -> (Checkpoint, BlobDigest) {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", settings()).await.id;
    supervisor.stop().await;
    fixture.append(learner, points(0, 700)).await;
    for &stop in stops {
        let supervisor = match ending {
            Ending::Stop => fixture.supervisor().await,
            Ending::Crash => fixture.careless_supervisor().await,
        };
        supervisor.until(learner, |status| status.trained_seq.0 >= stop).await;
        end(supervisor, learner, ending).await;
    }
    let supervisor = fixture.supervisor().await;
    supervisor.rested(learner, 700).await;
    supervisor.stop().await;
    bits(&fixture, learner).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_stream_and_journal_give_the_same_bits_whatever_the_restarts() {
    let (whole, live) = learned(&[], Ending::Stop).await;
    assert!(whole.last_version > VersionId(3), "versions were published on the way");
    assert!(
        whole.model.network.parameter_count()
            > document("points", settings()).first_model().unwrap().network.parameter_count()
    );
    let lives = [
        (&[192][..], Ending::Stop),
        (&[64, 320, 640], Ending::Stop),
        (&[250], Ending::Crash),
        (&[64, 500], Ending::Crash),
    ];
    for (stops, ending) in lives {
        let (checkpoint, digest) = learned(stops, ending).await;
        let what = format!("{ending:?} at {stops:?}");
        assert_eq!(checkpoint.weights, whole.weights, "{what}");
        assert_eq!(checkpoint.optimizer, whole.optimizer, "{what}");
        assert_eq!(checkpoint.model, whole.model, "{what}");
        assert_eq!(checkpoint.last_version, whole.last_version, "{what}");
        assert_eq!(checkpoint.progress, whole.progress, "{what}");
        assert_eq!(digest, live, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_leased_elsewhere_waits_for_the_lease() {
    let fixture = Fixture::new().await;
    let first = fixture.supervisor().await;
    let learner = create(&first, "points", json!({})).await.id;
    first.stop().await;
    let lease = fixture.store.acquire_lease(learner, "another process", Duration::HOUR).await.unwrap().unwrap();
    fixture.append(learner, points(0, 100)).await;
    let supervisor = fixture.supervisor().await;
    let ended = supervisor.inner.queue.ended().notified();
    supervisor.notify(learner);
    ended.await;
    assert_eq!(supervisor.status(learner).unwrap().trained_seq.0, 0);
    fixture.store.release_lease(lease).await.unwrap();
    supervisor.rested(learner, 100).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_turn_and_the_trainer_starts_again_from_its_checkpoint() {
    let fixture = Fixture::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let supervisor = fixture
        .supervisor_that(Arc::new(move |_, _| {
            assert!(seen.fetch_add(1, Ordering::Relaxed) > 0, "the first call fails")
        }))
        .await;
    let learner = supervisor.create(document("points", json!({}))).await.unwrap().id;
    fixture.append(learner, points(0, 300)).await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.state == TrainingState::Failed).await;
    supervisor.rested(learner, 300).await;
    let checkpoint = fixture.checkpoint(learner).await;
    assert!(checkpoint.last_version > VersionId(1));
    assert!(calls.load(Ordering::Relaxed) > 1);
    supervisor.stop().await;
}
