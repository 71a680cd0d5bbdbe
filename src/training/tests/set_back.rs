//! Training that non-finite numbers set back: the state before the input is computed again, and it is the same state.

use std::time::Instant;

use serde_json::{Value as Json, json};

use super::fixture::{Fixture, create, load, points};
use crate::training::trainer::{TurnEnd, TurnLimits};
use crate::training::{Checkpoint, JournalEvent};

/// Where the state comes from that training is set back to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    /// Every input keeps a copy of the state that it begins with.
    Copy,
    /// The checkpoint and the journal.
    Checkpoint,
}

/// What became of a learner that met non-finite numbers.
struct Learned {
    checkpoint: Checkpoint,
    /// What the journal says of it, inputs apart.
    results: Vec<JournalEvent>,
    /// Steps undone, those that were done again among them.
    undone: u64,
}

/// Learns 1,500 points with these settings.
async fn learned(settings: &Json, from: From) -> Learned {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "absurd", json!({"training": settings})).await.id;
    supervisor.stop().await;
    // Its environment without its threads: the trainer here has nobody beside it.
    let supervisor = fixture.careless_supervisor().await;
    let environment = supervisor.inner.environment.clone();
    supervisor.stop().await;
    fixture.append(learner, points(0, 1_500)).await;
    let nonfinite = environment.metrics.nonfinite.with_label_values(&["absurd"]);
    let trained = tokio::task::spawn_blocking(move || {
        let mut trainer = load(&environment, learner);
        let never = std::sync::atomic::AtomicBool::new(false);
        loop {
            if from == From::Copy {
                trainer.keep_from = 0;
            }
            let limits = TurnLimits { until: Instant::now(), stop: [&never, &never], wanted_back: &never };
            if trainer.turn(&limits, &|_| ()).unwrap() == TurnEnd::Idle {
                return trainer.wind_up().unwrap();
            }
        }
    });
    trained.await.unwrap();
    let inputs = ["round", "pass", "order", "settings"];
    let results = fixture.journal(learner).await.into_iter().filter(|event| !inputs.contains(&event.kind())).collect();
    Learned { checkpoint: fixture.checkpoint(learner).await, results, undone: nonfinite.get() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_back_from_the_checkpoint_gives_the_bits_of_one_with_a_copy() {
    let one_step_a_round = json!({"learning_rate": 1e30, "optimizer": "sgd", "max_passes": 0, "steps_per_row": 0.018});
    let many_steps_a_round = json!({"learning_rate": 1e30, "optimizer": "sgd", "max_passes": 0, "steps_per_row": 0.5});
    for settings in [one_step_a_round, many_steps_a_round] {
        let copy = learned(&settings, From::Copy).await;
        let again = learned(&settings, From::Checkpoint).await;
        let undone = copy.results.iter().filter(|event| matches!(event, JournalEvent::NonFinite { .. })).count() as u64;
        let back = |event: &&JournalEvent| matches!(event, JournalEvent::SetBack { reason, .. } if reason.contains("before this input"));
        assert!(copy.results.iter().filter(back).count() > 1, "{settings}");
        assert_eq!(copy.undone, undone, "a copy is at hand: {settings}");
        assert!(again.undone > undone, "steps were done again: {settings}");
        assert_eq!(again.results, copy.results, "{settings}");
        assert_eq!(again.checkpoint.weights, copy.checkpoint.weights, "{settings}");
        assert_eq!(again.checkpoint.optimizer, copy.checkpoint.optimizer, "{settings}");
        assert_eq!(again.checkpoint.model, copy.checkpoint.model, "{settings}");
        assert_eq!(again.checkpoint.progress, copy.checkpoint.progress, "{settings}");
    }
}
