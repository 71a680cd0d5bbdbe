//! A restart continues as if nothing had happened, and nobody trains what another holds.

use serde_json::json;
use time::Duration;

use super::fixture::{Fixture, create, document, points};
use crate::registry::{BlobDigest, VersionId};
use crate::stream::{Feature, FeatureKind, LearnerId, NewExample, Value};
use crate::training::{Checkpoint, GrowthOrder, JournalEvent, Supervisor, TicketState, TrainingState, Trigger};

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
        "training": {
            "weight_decay": 0.01,
            "clip_norm": 2.0,
            "average_decay": 0.95,
            "schedule": {"kind": "wsd", "warmup": 20, "stable": 60, "decay": 200, "floor": 0.3},
        },
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

/// What becomes of the process that takes an order for features.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Lives,
    /// The order is in the journal, and nothing has followed from it.
    DiesBeforeTheGrowth,
    /// The growth is committed, and nothing else.
    DiesAfterTheGrowth,
}

/// Learns 300 points of two numbers, grows by two features whose names sort before theirs, learns 400 rows that have them.
async fn learned_with_features(fate: Fate, stops: &[u64]) -> (Checkpoint, BlobDigest) {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({"network": {"kind": "mlp", "hidden": [4]}})).await.id;
    fixture.append(learner, points(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    let features = vec![
        Feature::new("a", FeatureKind::Categorical { max_categories: 4 }),
        Feature::new("b", FeatureKind::Vector { size: 2 }),
    ];
    let order = GrowthOrder::Features { features };
    let ticket = fixture.store.order_growth(learner, &order).await.unwrap().id;
    if fate == Fate::DiesBeforeTheGrowth {
        let lease = fixture.store.acquire_lease(learner, "a process", Duration::HOUR).await.unwrap().unwrap();
        let order = JournalEvent::Order { order, trigger: Trigger::Manual, ticket: Some(ticket) };
        fixture.store.append_journal(lease, vec![order]).await.unwrap();
        fixture.store.release_lease(lease).await.unwrap();
        assert_eq!(schema(&fixture, learner).await, 2, "nothing is accepted that the network cannot take");
    }
    let supervisor = fixture.careless_supervisor().await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.input().elements() == 4 + 3).await;
    assert_eq!(schema(&fixture, learner).await, 4);
    match fate {
        Fate::DiesAfterTheGrowth => supervisor.crash(learner).await,
        Fate::Lives | Fate::DiesBeforeTheGrowth => {
            supervisor.rested(learner, 300).await;
            supervisor.stop().await;
        }
    }
    let site = |point: NewExample, index: usize| {
        let site = Value::Category(["north", "south"][index % 2].into());
        let row = point.row.into_iter().chain([site, Value::Vector(vec![index as f32, 1.0])]).collect();
        NewExample { row, ..point }
    };
    let rows = points(300, 400).into_iter().enumerate().map(|(index, point)| site(point, index));
    fixture.append(learner, rows.collect()).await;
    for &stop in stops {
        let supervisor = fixture.careless_supervisor().await;
        supervisor.until(learner, |status| status.trained_seq.0 >= stop).await;
        supervisor.crash(learner).await;
    }
    let supervisor = fixture.supervisor().await;
    supervisor.rested(learner, 700).await;
    supervisor.stop().await;
    let ticket = fixture.store.ticket(learner, ticket).await.unwrap().unwrap();
    assert_eq!((ticket.state, ticket.event.unwrap().certificate.max_abs_diff), (TicketState::Applied, 0.0));
    bits(&fixture, learner).await
}

/// How many features the API accepts.
async fn schema(fixture: &Fixture, learner: LearnerId) -> usize {
    fixture.store.learner_by_id(learner).await.unwrap().unwrap().document.schema.features.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_are_added_survive_any_death_to_the_last_bit() {
    let (whole, live) = learned_with_features(Fate::Lives, &[]).await;
    let names: Vec<&str> = whole.model.encoder.schema().features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["x", "y", "a", "b"]);
    assert_eq!(whole.model.network.input().elements(), 4 + 3 + 2, "the two sites came last");
    for (fate, stops) in
        [(Fate::DiesBeforeTheGrowth, &[][..]), (Fate::DiesAfterTheGrowth, &[]), (Fate::DiesAfterTheGrowth, &[400, 600])]
    {
        let (checkpoint, digest) = learned_with_features(fate, stops).await;
        let what = format!("{fate:?}, stopped at {stops:?}");
        assert_eq!(checkpoint.weights, whole.weights, "{what}");
        assert_eq!(checkpoint.optimizer, whole.optimizer, "{what}");
        assert_eq!(checkpoint.model, whole.model, "{what}");
        assert_eq!(checkpoint.progress, whole.progress, "{what}");
        assert_eq!((checkpoint.last_version, digest), (whole.last_version, live), "{what}");
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
    assert!(supervisor.status(learner).is_none(), "it is not for this process to say");
    assert_eq!(fixture.checkpoint(learner).await.trained_seq.0, 0);
    fixture.store.release_lease(lease).await.unwrap();
    supervisor.rested(learner, 100).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_turn_and_the_trainer_starts_again_from_its_checkpoint() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, points(0, 100)).await;
    supervisor.rested(learner, 100).await;
    make_it_panic(&supervisor, learner).await;
    fixture.append(learner, points(100, 200)).await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.state == TrainingState::Failed).await;
    supervisor.rested(learner, 300).await;
    assert!(fixture.checkpoint(learner).await.last_version > VersionId(1));
    fixture.rounds(learner).await;
    supervisor.stop().await;
}

/// The trainer's next checkpoint is due after a time that no clock can add: computing it panics.
pub(super) async fn make_it_panic(supervisor: &Supervisor, learner: LearnerId) {
    let slot = supervisor.inner.slot(learner).unwrap();
    let changed = tokio::task::spawn_blocking(move || {
        slot.trainer().as_mut().unwrap().committed.1 = std::time::Duration::MAX;
    });
    changed.await.unwrap();
}
