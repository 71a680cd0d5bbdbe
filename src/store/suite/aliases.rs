//! Claims about aliases, their histories and pins, and about lineage.

use time::Duration;

use super::Bench;
use super::fixtures::{bare, fence, learner, model, publish, version};
use crate::growth::{self, Certificate, GrowthOp, GrowthRequest};
use crate::registry::{
    Actor, Alias, AliasAction, AliasEdit, AliasError, AliasName, AliasOrder, Cause, Expected, Pinning, Retention,
    VersionId,
};
use crate::stream::{LearnerId, Seq};
use crate::training::{Change, Commit, Fence, GrowthEvent, JournalEvent, Store, Trigger};

fn name(text: &str) -> AliasName {
    AliasName::parse(text).unwrap()
}

fn order(alias: &str, edit: AliasEdit) -> AliasOrder {
    let (actor, reason) = (Actor::parse("anna").unwrap(), Some("a test".to_owned()));
    AliasOrder { alias: name(alias), edit, expected: Expected::Any, actor, reason, most: 3 }
}

fn to(number: u64) -> AliasEdit {
    AliasEdit::Move { to: VersionId(number), pinning: Pinning::Usual }
}

async fn change(store: &dyn Store, learner: LearnerId, alias: &str, edit: AliasEdit) -> Alias {
    store.change_alias(learner, &order(alias, edit)).await.unwrap().unwrap()
}

async fn live(store: &dyn Store, learner: LearnerId) -> Alias {
    store.alias_state(learner, &AliasName::live()).await.unwrap().unwrap()
}

/// A learner with versions 1 to `last`, the last of them live.
async fn published(store: &dyn Store, last: u64) -> Fence {
    let learner = learner(store, "digits").await.id;
    let fence = fence(store, learner).await;
    for number in 2..=last {
        publish(store, fence, number, Cause::Trained).await;
    }
    fence
}

/// The versions that have their weights.
async fn kept(store: &dyn Store, learner: LearnerId) -> Vec<u64> {
    let versions = store.versions(learner, VersionId(0), 100).await.unwrap();
    versions.iter().filter(|version| version.weights_kept).map(|version| version.version.0).collect()
}

pub(crate) async fn the_history_is_dense_and_says_who_moved_what_and_why(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = published(&*store, 3).await.learner;
    let mut changes = store.changes();
    let rolled_back = change(&*store, learner, "live", to(2)).await;
    assert_eq!((rolled_back.version, rolled_back.pinned, rolled_back.generation), (VersionId(2), true, 4));
    while changes.next().await != Some(Change::Alias(learner)) {}
    change(&*store, learner, "live", AliasEdit::Unpin { follow: None }).await;
    store.close().await;
    let store = bench.open().await;
    let history = store.alias_history(learner, &AliasName::live(), 0, 10).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|change| {
            let number = |version: Option<VersionId>| version.map_or(0, |version| version.0);
            (change.generation, change.action, number(change.from), number(change.to), change.pinned)
        })
        .collect();
    let expected = [
        (1, AliasAction::Created, 0, 1, false),
        (2, AliasAction::Moved, 1, 2, false),
        (3, AliasAction::Moved, 2, 3, false),
        (4, AliasAction::Moved, 3, 2, true),
        (5, AliasAction::Unpinned, 2, 2, false),
    ];
    assert_eq!(told, expected);
    let who: Vec<&str> = history.iter().map(|change| change.actor.as_str()).collect();
    assert_eq!(who, ["trainer", "trainer", "trainer", "anna", "anna"]);
    assert_eq!(history[1].reason.as_deref(), Some("it passed the gate"));
    assert_eq!(history[3].reason.as_deref(), Some("a test"));
    assert!(history.is_sorted_by_key(|change| change.at));
    let page = store.alias_history(learner, &AliasName::live(), 2, 2).await.unwrap();
    assert_eq!(page.iter().map(|change| change.generation).collect::<Vec<_>>(), [3, 4]);
}

pub(crate) async fn one_of_two_who_change_the_same_generation_wins(bench: &dyn Bench) {
    let (one, other) = (bench.open().await, bench.open().await);
    let learner = published(&*one, 4).await.learner;
    let seen = change(&*one, learner, "canary", to(1)).await.generation;
    for round in 0..4 {
        let expected = Expected::Generations(vec![seen + round]);
        // Whoever comes first moves it; a move to where it is would be no change at all.
        let targets = if round % 2 == 0 { [2, 3] } else { [4, 1] };
        let orders = targets.map(|number| AliasOrder { expected: expected.clone(), ..order("canary", to(number)) });
        let (first, second) =
            tokio::join!(one.change_alias(learner, &orders[0]), other.change_alias(learner, &orders[1]));
        let won = [&first, &second].into_iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 1, "{first:?} {second:?}");
        let lost = if first.is_ok() { second } else { first };
        assert!(matches!(lost, Err(AliasError::Changed(Some(now))) if now == seen + round + 1));
    }
    let absent = AliasOrder { expected: Expected::Absent, ..order("fresh", to(1)) };
    let (first, second) = tokio::join!(one.change_alias(learner, &absent), other.change_alias(learner, &absent));
    assert!(first.is_ok() != second.is_ok(), "it is made once");
    let absent = AliasOrder { expected: Expected::Present, ..order("nowhere", to(1)) };
    assert!(matches!(one.change_alias(learner, &absent).await, Err(AliasError::Changed(None))));
}

pub(crate) async fn changes_from_two_handles_at_once_leave_no_gap(bench: &dyn Bench) {
    let (one, other) = (bench.open().await, bench.open().await);
    let fence = published(&*one, 2).await;
    let learner = fence.learner;
    let moves = |store: std::sync::Arc<dyn Store>, numbers: [u64; 8]| async move {
        for number in numbers {
            let edit = AliasEdit::Move { to: VersionId(number), pinning: Pinning::Release };
            store.change_alias(learner, &order("live", edit)).await.unwrap();
        }
    };
    let trains = async {
        for number in 3..=6 {
            publish(&*one, fence, number, Cause::Trained).await;
        }
    };
    tokio::join!(moves(one.clone(), [1, 2, 1, 2, 1, 2, 1, 2]), moves(other, [2, 1, 2, 1, 2, 1, 2, 1]), trains);
    let history = one.alias_history(learner, &AliasName::live(), 0, 100).await.unwrap();
    let places: Vec<u64> = history.iter().map(|change| change.generation).collect();
    assert_eq!(places, (1..=history.len() as u64).collect::<Vec<_>>());
    assert!(history.windows(2).all(|pair| pair[0].to == pair[1].from), "each begins where the one before ended");
    assert!(history.is_sorted_by_key(|change| change.at));
    let last = history.last().unwrap();
    let now = live(&*one, learner).await;
    assert_eq!((Some(now.version), now.generation, now.changed_at), (last.to, last.generation, last.at));
}

pub(crate) async fn a_change_that_changes_nothing_leaves_no_trace(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = published(&*store, 2).await.learner;
    let pinned = change(&*store, learner, "live", AliasEdit::Pin).await;
    assert_eq!(change(&*store, learner, "live", AliasEdit::Pin).await, pinned);
    assert_eq!(change(&*store, learner, "live", to(2)).await, pinned);
    assert!(matches!(store.change_alias(learner, &order("live", to(1))).await, Err(AliasError::Pinned)));
    assert_eq!(live(&*store, learner).await, pinned);
    assert_eq!(store.alias_history(learner, &AliasName::live(), 0, 10).await.unwrap().len(), 3);
    assert_eq!(store.pinned_aliases().await.unwrap(), [(learner, AliasName::live())]);
    for edit in [AliasEdit::Pin, AliasEdit::Unpin { follow: None }, AliasEdit::Delete] {
        assert!(matches!(store.change_alias(learner, &order("none", edit)).await, Err(AliasError::Unknown)));
    }
    assert!(store.alias_history(learner, &name("none"), 0, 10).await.unwrap().is_empty());
    let gone = LearnerId(learner.0 + 1);
    assert!(matches!(store.change_alias(gone, &order("live", to(1))).await, Err(AliasError::LearnerGone)));
}

pub(crate) async fn a_commit_does_not_move_a_pinned_live_and_what_it_accepted_waits(bench: &dyn Bench) {
    let store = bench.open().await;
    let fence = published(&*store, 3).await;
    let learner = fence.learner;
    let pinned = change(&*store, learner, "live", to(2)).await;
    publish(&*store, fence, 4, Cause::Trained).await;
    publish(&*store, fence, 5, Cause::Trained).await;
    let held = live(&*store, learner).await;
    assert_eq!(held, Alias { waiting: Some(VersionId(5)), ..pinned.clone() });
    assert_eq!(store.checkpoint(learner).await.unwrap().unwrap().accepted, VersionId(5));
    assert_eq!(store.alias(learner, "live").await.unwrap(), Some(VersionId(2)));
    let unaware = order("live", AliasEdit::Unpin { follow: None });
    assert!(matches!(store.change_alias(learner, &unaware).await, Err(AliasError::Waits(Some(VersionId(5))))));
    let moved = change(&*store, learner, "live", AliasEdit::Unpin { follow: Some(VersionId(5)) }).await;
    assert_eq!((moved.version, moved.pinned, moved.waiting), (VersionId(5), false, None));
    publish(&*store, fence, 6, Cause::Trained).await;
    assert_eq!(live(&*store, learner).await.version, VersionId(6), "the trainer moves it again");
}

pub(crate) async fn an_alias_moves_only_to_a_version_with_its_weights(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = published(&*store, 4).await.learner;
    assert_eq!(store.sweep_weights(learner, &Retention::newest(2)).await.unwrap(), 2);
    let before = live(&*store, learner).await;
    for alias in ["live", "canary"] {
        let refused = async |number| store.change_alias(learner, &order(alias, to(number))).await;
        assert!(matches!(refused(1).await, Err(AliasError::WeightsGone(VersionId(1)))));
        assert!(matches!(refused(9).await, Err(AliasError::UnknownVersion(VersionId(9)))));
        assert!(matches!(refused(u64::MAX).await, Err(AliasError::UnknownVersion(_))));
    }
    assert_eq!(live(&*store, learner).await, before);
    for alias in ["a", "b"] {
        change(&*store, learner, alias, to(3)).await;
    }
    assert!(matches!(store.change_alias(learner, &order("c", to(3))).await, Err(AliasError::TooMany(3))));
    let names = async |after: Option<&AliasName>, limit| -> Vec<String> {
        let page = store.aliases(learner, after, limit).await.unwrap();
        page.iter().map(|alias| alias.name.to_string()).collect()
    };
    assert_eq!(names(None, 10).await, ["a", "b", "live"]);
    assert_eq!(names(Some(&name("a")), 1).await, ["b"]);
}

pub(crate) async fn what_aliases_need_keeps_its_weights(bench: &dyn Bench) {
    let store = bench.open().await;
    let fence = published(&*store, 4).await;
    let learner = fence.learner;
    change(&*store, learner, "canary", to(1)).await;
    change(&*store, learner, "live", to(3)).await;
    for number in 5..=9 {
        publish(&*store, fence, number, Cause::Trained).await;
    }
    // What waits for `live` is what the checkpoint accepted; it stays needed when a later checkpoint is kept without it.
    let one = Retention::newest(1);
    let retention = Retention { alias_moves: 2, ..one };
    store.sweep_weights(learner, &retention).await.unwrap();
    assert_eq!(kept(&*store, learner).await, [1, 3, 4, 9]);
    assert_eq!(
        store.alias_targets(learner, &AliasName::live(), VersionId(9), 5).await.unwrap(),
        [4, 3, 1].map(VersionId)
    );
    assert_eq!(store.alias_targets(learner, &AliasName::live(), VersionId(4), 1).await.unwrap(), [VersionId(3)]);
    assert!(store.change_alias(learner, &order("canary", AliasEdit::Delete)).await.unwrap().is_none());
    change(&*store, learner, "live", AliasEdit::Unpin { follow: Some(VersionId(9)) }).await;
    store.sweep_weights(learner, &one).await.unwrap();
    assert_eq!(kept(&*store, learner).await, [9]);
}

pub(crate) async fn no_sweep_takes_what_an_alias_moves_to_meanwhile(bench: &dyn Bench) {
    let (one, other) = (bench.open().await, bench.open().await);
    let learner = published(&*one, 12).await.learner;
    for number in (1..=11).rev() {
        let order = order("canary", to(number));
        let retention = Retention::newest(1);
        let (swept, moved) = tokio::join!(one.sweep_weights(learner, &retention), other.change_alias(learner, &order));
        swept.unwrap();
        let held = match moved {
            Ok(alias) => alias.unwrap().version,
            Err(AliasError::WeightsGone(_)) => one.alias(learner, "canary").await.unwrap().unwrap_or(VersionId(12)),
            Err(other) => panic!("{other}"),
        };
        let version = one.version(learner, held).await.unwrap().unwrap();
        assert!(version.weights_kept, "version {held}");
        assert!(one.get_blob(version.digest).await.unwrap().is_some(), "version {held}");
    }
}

pub(crate) async fn a_deleted_alias_comes_back_in_a_later_generation(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = published(&*store, 2).await.learner;
    let first = change(&*store, learner, "canary", to(1)).await;
    assert!(store.change_alias(learner, &order("canary", AliasEdit::Delete)).await.unwrap().is_none());
    assert_eq!(store.alias_state(learner, &name("canary")).await.unwrap(), None);
    let again = change(&*store, learner, "canary", to(1)).await;
    assert_eq!((first.generation, again.generation), (1, 3));
    let stale = AliasOrder { expected: Expected::Generations(vec![1]), ..order("canary", to(2)) };
    assert!(matches!(store.change_alias(learner, &stale).await, Err(AliasError::Changed(Some(3)))));
    let history = store.alias_history(learner, &name("canary"), 0, 10).await.unwrap();
    assert_eq!((history[1].action, history[1].to), (AliasAction::Deleted, None));
    assert!(matches!(store.change_alias(learner, &order("live", AliasEdit::Delete)).await, Err(AliasError::Reserved)));
    assert!(store.delete_learner(learner).await.unwrap());
}

pub(crate) async fn which_version_held_at_a_time_is_answered(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = published(&*store, 2).await.learner;
    change(&*store, learner, "live", to(1)).await;
    let history = store.alias_history(learner, &AliasName::live(), 0, 10).await.unwrap();
    let at = async |time| {
        let record = store.alias_at(learner, &AliasName::live(), time).await.unwrap();
        record.map(|record| record.generation)
    };
    // Several changes may fall into one microsecond: the last of them is what held.
    for change in &history {
        let last = history.iter().rfind(|other| other.at == change.at).unwrap();
        assert_eq!(at(change.at).await, Some(last.generation));
    }
    assert_eq!(at(history[0].at - Duration::MICROSECOND).await, None);
    assert_eq!(at(history[2].at + Duration::DAY).await, Some(3));
}

pub(crate) async fn a_lineage_leads_back_to_the_first_version(bench: &dyn Bench) {
    let store = bench.open().await;
    let fence = published(&*store, 3).await;
    let learner = fence.learner;
    // Version 4 comes from 2, as after a set-back.
    let mut commit = bare(store.checkpoint(learner).await.unwrap().unwrap());
    let mut fourth = version(&*store, 4, Cause::Trained, b"fourth").await;
    fourth.parent = Some(VersionId(2));
    commit.versions = vec![fourth];
    store.commit(fence, commit).await.unwrap();
    let chain = async |number, limit| -> Vec<u64> {
        let lineage = store.lineage(learner, VersionId(number), limit).await.unwrap();
        lineage.iter().map(|ancestor| ancestor.version.0).collect()
    };
    assert_eq!(chain(4, 100).await, [4, 2, 1]);
    assert_eq!(chain(3, 100).await, [3, 2, 1]);
    assert_eq!(chain(4, 2).await, [4, 2]);
    assert!(chain(5, 100).await.is_empty());
    let first = store.lineage(learner, VersionId(1), 5).await.unwrap().remove(0);
    assert_eq!((first.parent, first.cause, first.weights_kept), (None, Cause::Created, true));
}

pub(crate) async fn a_growth_is_found_by_its_version(bench: &dyn Bench) {
    let store = bench.open().await;
    let fence = published(&*store, 2).await;
    let learner = fence.learner;
    for number in [3, 4] {
        let cause = Cause::Growth { op: GrowthOp::Inputs, trigger: "manual".into() };
        let version = version(&*store, number, cause, b"grown").await;
        let mut checkpoint = store.checkpoint(learner).await.unwrap().unwrap();
        checkpoint.last_version = VersionId(number);
        let journal = vec![JournalEvent::Grown(Box::new(growth_event(number)))];
        store.commit(fence, Commit { versions: vec![version], journal, ..bare(checkpoint) }).await.unwrap();
    }
    let found = store.growth_of(learner, VersionId(4)).await.unwrap().unwrap();
    assert_eq!(found.position, 2);
    assert_eq!(found.event, JournalEvent::Grown(Box::new(growth_event(4))));
    assert_eq!(store.growth_of(learner, VersionId(2)).await.unwrap(), None);
    assert_eq!(store.growth_of(LearnerId(learner.0 + 1), VersionId(4)).await.unwrap(), None);
}

/// A growth that made this version of the learners here.
fn growth_event(number: u64) -> GrowthEvent {
    let network = model().network;
    let plan = growth::plan(&network, &GrowthRequest::Inputs { add: 1 }, 7).unwrap();
    let certificate = Certificate {
        rows: 0,
        random_rows: 64,
        max_abs_diff: 0.0,
        max_rel_diff: 0.0,
        limit: 0.0,
        served_max_abs_diff: 0.0,
        served_max_rel_diff: 0.0,
        served_limit: 1e-5,
        train_max_rel_diff: Some(0.0),
        train_limit: Some(0.0),
        preserved: true,
    };
    GrowthEvent {
        op: GrowthOp::Inputs,
        trigger: Trigger::Manual,
        ticket: None,
        seq: Seq(10 * (number - 1)),
        teacher: VersionId(number - 1),
        version: VersionId(number),
        network_before: network.summary(),
        network_after: plan.student().summary(),
        plan,
        certificate,
        drift: None,
        reasons: Vec::new(),
        seconds: 0.25,
    }
}
