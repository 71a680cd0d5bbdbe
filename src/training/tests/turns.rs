//! Learners side by side.

use std::sync::PoisonError;

use serde_json::json;

use super::fixture::{Fixture, create, points};
use crate::stream::LearnerId;
use crate::training::TrainingState;
use crate::training::residents::MOST_RESIDENTS;

#[tokio::test(flavor = "multi_thread")]
async fn several_learners_take_turns_on_one_thread() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let mut learners = Vec::new();
    for name in ["first", "second", "third"] {
        let learner = create(&supervisor, name, json!({})).await.id;
        fixture.append(learner, points(0, 1_000)).await;
        learners.push(learner);
    }
    for &learner in &learners {
        supervisor.notify(learner);
    }
    let first = learners[0];
    supervisor.until(first, |status| status.state == TrainingState::Idle && status.trained_seq.0 == 1_000).await;
    for &learner in &learners {
        let rows = supervisor.status(learner).unwrap().metrics.progressive_rows;
        assert!(rows > 0, "{learner:?} had no turn while the first learner had all of its own");
    }
    for &learner in &learners {
        supervisor.rested(learner, 1_000).await;
    }
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_idle_learners_hold_no_thread_and_little_memory() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let mut learners: Vec<LearnerId> = Vec::new();
    for number in 0..50 {
        let learner = create(&supervisor, &format!("idle-{number}"), json!({"training": {"max_passes": 0}})).await.id;
        fixture.append(learner, points(0, 10)).await;
        learners.push(learner);
    }
    for &learner in &learners {
        supervisor.rested(learner, 10).await;
    }
    let inner = &supervisor.inner;
    loop {
        let ended = inner.queue.ended().notified();
        if !learners.iter().any(|&learner| inner.queue.holds(learner)) {
            break;
        }
        ended.await;
    }
    assert_eq!(inner.threads.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    let resident = |learner: &&LearnerId| inner.slot(**learner).unwrap().trainer().is_some();
    assert!(learners.iter().filter(resident).count() <= MOST_RESIDENTS);
    // One that was put away goes on from its checkpoint.
    fixture.append(learners[0], points(10, 10)).await;
    supervisor.rested(learners[0], 20).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_learner_runs_no_step_any_more() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, points(0, 5_000)).await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.trained_seq.0 > 0).await;
    assert!(fixture.store.delete_learner(learner).await.unwrap());
    supervisor.remove(learner).await;
    assert!(supervisor.status(learner).is_none());
    assert!(!supervisor.inner.queue.holds(learner));
    supervisor.stop().await;
}
