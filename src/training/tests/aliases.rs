//! What operators do with aliases, and what the trainer makes live by itself.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::{Value as Json, json};

use super::fixture::{Fixture, create, load, points};
use crate::registry::{Actor, Alias, AliasEdit, AliasName, AliasOrder, Expected, Pinning, VersionId};
use crate::stream::{LearnerId, Seq};
use crate::training::trainer::TurnLimits;
use crate::training::{Checkpoint, GateOutcome, JournalEvent, LearnerPatch};

/// Whether somebody moves `live` between the parts of a life.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Away,
    Busy,
}

async fn live(fixture: &Fixture, learner: LearnerId) -> Alias {
    fixture.store.alias_state(learner, &AliasName::live()).await.unwrap().unwrap()
}

async fn change(fixture: &Fixture, learner: LearnerId, edit: AliasEdit) -> Alias {
    let (alias, expected, actor) = (AliasName::live(), Expected::Any, Actor::operator());
    let order = AliasOrder { alias, edit, expected, actor, reason: None, most: 10 };
    fixture.store.change_alias(learner, &order).await.unwrap().unwrap()
}

/// A life in three parts, with a rate that the gate refuses in the second.
async fn lived(settings: &Json, operator: Operator) -> (Checkpoint, Vec<JournalEvent>, Alias) {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let record = create(&supervisor, "points", settings.clone()).await;
    let learner = record.id;
    fixture.append(learner, points(0, 500)).await;
    supervisor.rested(learner, 500).await;
    supervisor.stop().await;
    if operator == Operator::Busy {
        let edit = AliasEdit::Move { to: VersionId(1), pinning: Pinning::Usual };
        assert!(change(&fixture, learner, edit).await.pinned);
    }
    let patch: LearnerPatch = serde_json::from_value(json!({"training": {"learning_rate": 10.0}})).unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(learner, record.revision, &document).await.unwrap().unwrap();
    fixture.append(learner, points(500, 300)).await;
    let supervisor = fixture.supervisor().await;
    supervisor.rested(learner, 800).await;
    supervisor.stop().await;
    if operator == Operator::Busy {
        let now = live(&fixture, learner).await;
        assert_eq!((now.version, now.pinned), (VersionId(1), true));
        change(&fixture, learner, AliasEdit::Unpin { follow: now.waiting }).await;
        let edit = AliasEdit::Move { to: VersionId(2), pinning: Pinning::Release };
        change(&fixture, learner, edit).await;
    }
    fixture.append(learner, points(800, 200)).await;
    let supervisor = fixture.supervisor().await;
    supervisor.rested(learner, 1_000).await;
    supervisor.stop().await;
    (fixture.checkpoint(learner).await, fixture.journal(learner).await, live(&fixture, learner).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_with_live_changes_no_bit_of_training() {
    let refused = json!({"training": {"holdout_share": 0.3, "gate_patience": 2, "max_passes": 0}});
    let grows = json!({
        "training": {"holdout_share": 0.3, "gate_patience": 2, "max_passes": 2},
        "policy": {"kind": "data_volume", "refractory_rows": 100},
        "network": {"kind": "mlp", "hidden": [2]},
    });
    for settings in [refused, grows] {
        let (undisturbed, journal, _) = lived(&settings, Operator::Away).await;
        let (checkpoint, disturbed, _) = lived(&settings, Operator::Busy).await;
        assert!(undisturbed.accepted > VersionId(2));
        assert_eq!(checkpoint.weights, undisturbed.weights, "{settings}");
        assert_eq!(checkpoint.optimizer, undisturbed.optimizer, "{settings}");
        assert_eq!(checkpoint.model, undisturbed.model, "{settings}");
        assert_eq!(checkpoint.progress, undisturbed.progress, "{settings}");
        // Not its position: results stand between the inputs of a journal, wherever a checkpoint came in time.
        assert_eq!(
            (checkpoint.accepted, checkpoint.last_version),
            (undisturbed.accepted, undisturbed.last_version),
            "{settings}"
        );
        assert_eq!(disturbed.len(), journal.len(), "{settings}");
        let back = |event: &JournalEvent| matches!(event, JournalEvent::SetBack { .. });
        if settings["policy"].is_null() {
            assert!(journal.iter().any(back), "it was set back, to what it accepted and not to what was live");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_live_stays_and_what_was_accepted_meanwhile_waits() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    change(&fixture, learner, AliasEdit::Pin).await;
    fixture.append(learner, points(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    let held = live(&fixture, learner).await;
    let accepted = fixture.checkpoint(learner).await.accepted;
    assert_eq!((held.version, held.waiting), (VersionId(1), Some(accepted)));
    let version = fixture.store.version(learner, accepted).await.unwrap().unwrap();
    assert_eq!((version.trained_seq, version.weights_kept), (Seq(300), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_comes_to_rest_accepts_nothing_that_is_not_better() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"training": {"holdout_share": 0.3, "max_passes": 0}});
    let learner = create(&supervisor, "points", settings).await.id;
    fixture.append(learner, points(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    let before = fixture.checkpoint(learner).await;
    // Its environment without its threads: the trainer here has nobody beside it.
    let supervisor = fixture.careless_supervisor().await;
    let environment = supervisor.inner.environment.clone();
    supervisor.stop().await;
    let settled = tokio::task::spawn_blocking(move || {
        let mut trainer = load(&environment, learner);
        // As after steps that changed next to nothing: as good as what was accepted, and no better.
        trainer.progress.gate.learned = true;
        trainer.progress.is_version = false;
        let never = AtomicBool::new(false);
        let limits = TurnLimits { until: std::time::Instant::now(), stop: [&never, &never], wanted_back: &never };
        trainer.turn(&limits, &|_| ()).unwrap();
        trainer.wind_up().unwrap();
    });
    settled.await.unwrap();
    let after = fixture.checkpoint(learner).await;
    assert_eq!((after.accepted, after.last_version), (before.accepted, before.last_version));
    let gates = gates(&fixture.journal(learner).await);
    let last = gates.last().unwrap();
    assert!(last.passed && last.rows >= 30 && !last.improves(), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_quiet_hours_only_a_better_version_is_accepted() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({
        "training": {"holdout_share": 0.3, "max_passes": 12, "learning_rate": 0.1},
        "policy": {"kind": "data_volume", "refractory_rows": 100, "max_parameters": 200},
        "network": {"kind": "mlp", "hidden": [2]},
    });
    let learner = create(&supervisor, "points", settings).await.id;
    fixture.append(learner, points(0, 500)).await;
    supervisor.rested(learner, 500).await;
    supervisor.stop().await;
    let versions = fixture.store.versions(learner, VersionId(0), 1_000).await.unwrap();
    let trained: BTreeMap<VersionId, Seq> =
        versions.iter().map(|version| (version.version, version.trained_seq)).collect();
    let (mut accepted, mut gate, mut grown) = (VersionId(1), None, None);
    let mut left_out = 0;
    for event in fixture.journal(learner).await {
        match event {
            JournalEvent::Gate { seq, outcome } => {
                left_out += usize::from(outcome.passed && !outcome.improves() && seq == trained[&accepted]);
                gate = Some(outcome);
            }
            JournalEvent::Grown(event) => grown = Some(event.version),
            JournalEvent::Published { version, live: true, .. } => {
                // A student computes what its teacher does, which passed the gate or was accepted itself.
                let (quiet, grown) = (trained[&version] == trained[&accepted], grown.take() == Some(version));
                let better = gate.as_ref().is_some_and(|outcome: &GateOutcome| outcome.improves());
                assert!(!quiet || grown || better, "version {version} after {accepted}: {gate:?}");
                accepted = version;
            }
            _ => {}
        }
    }
    assert_eq!(live(&fixture, learner).await.version, accepted);
    assert!(left_out > 0, "some pass was not worse and no better");
}

fn gates(journal: &[JournalEvent]) -> Vec<GateOutcome> {
    let outcome = |event: &JournalEvent| match event {
        JournalEvent::Gate { outcome, .. } => Some(outcome.clone()),
        _ => None,
    };
    journal.iter().filter_map(outcome).collect()
}
