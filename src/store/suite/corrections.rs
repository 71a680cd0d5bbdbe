//! Claims about corrections: tombstones, replaced examples, and the numbers of both.

use super::Bench;
use super::fixtures::{append, example, keyed, learner, numbers, request};
use crate::stream::{
    Append, CorrectionKind, Deletion, Entry, ExampleName, Existing, Label, LearnerId, NewExample, Outcome, Seq, Value,
};
use crate::training::{Change, Store};

fn id(text: &str) -> ExampleName {
    ExampleName::Id(text.into())
}

fn replacing(learner: LearnerId, examples: Vec<NewExample>) -> Append {
    Append { existing: Existing::Replace, ..request(learner, examples) }
}

/// The first number and the label at a place.
async fn at(store: &dyn Store, learner: LearnerId, seq: u64) -> (Value, Label) {
    let entry = store.fetch(learner, &[Seq(seq)]).await.unwrap().pop().unwrap();
    let example = entry.into_example().unwrap();
    (example.row[0].clone(), example.label)
}

async fn corrections(store: &dyn Store, learner: LearnerId, after: u64) -> Vec<(u64, u64, CorrectionKind)> {
    let corrections = store.corrections(learner, after, 100).await.unwrap();
    corrections.iter().map(|correction| (correction.number, correction.seq.0, correction.kind)).collect()
}

pub(crate) async fn a_deleted_example_leaves_a_tombstone_in_its_place(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let examples = vec![example(Some("x"), 1.0), example(None, 2.0), example(None, 3.0), example(None, 4.0)];
    append(&*store, request(learner, examples)).await.unwrap();
    assert_eq!(store.delete_example(learner, &id("x")).await.unwrap(), Deletion::Deleted(Seq(1)));
    let place = ExampleName::Seq(Seq(3));
    assert_eq!(store.delete_example(learner, &place).await.unwrap(), Deletion::Deleted(Seq(3)));
    store.close().await;
    let store = bench.open().await;
    let read = store.read(learner, Seq(0), 10).await.unwrap();
    assert_eq!(read.iter().map(|entry| entry.seq().0).collect::<Vec<_>>(), [1, 2, 3, 4], "places stay dense");
    assert_eq!((&read[0], &read[2]), (&Entry::Deleted(Seq(1)), &Entry::Deleted(Seq(3))));
    assert!(read[1].example().is_some() && read[3].example().is_some());
    assert_eq!(store.fetch(learner, &[Seq(3)]).await.unwrap(), [Entry::Deleted(Seq(3))]);
    let labels = store.labels(learner, Seq(0), Seq(4)).await.unwrap();
    assert_eq!(labels.iter().map(|(_, label)| label.is_some()).collect::<Vec<_>>(), [false, true, false, true]);
    let next = append(&*store, request(learner, vec![example(None, 5.0)])).await.unwrap();
    assert_eq!(next.first_seq, Some(Seq(5)), "a place is never given twice");
}

pub(crate) async fn the_id_of_a_deleted_example_is_never_free_again(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    append(&*store, request(learner, vec![example(Some("x"), 1.0)])).await.unwrap();
    store.delete_example(learner, &id("x")).await.unwrap();
    for again in [request(learner, vec![example(Some("x"), 2.0)]), replacing(learner, vec![example(Some("x"), 3.0)])] {
        let answer = append(&*store, again).await.unwrap();
        assert_eq!((answer.accepted, answer.duplicates, answer.replaced), (0, 1, 0));
        assert_eq!(answer.outcomes.iter().collect::<Vec<_>>(), [(Outcome::Duplicate, Seq(1))]);
    }
    assert_eq!(store.read(learner, Seq(0), 10).await.unwrap(), [Entry::Deleted(Seq(1))]);
}

pub(crate) async fn deleting_again_or_deleting_nothing_changes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = learner(&*store, "first").await.id;
    let second = learner(&*store, "second").await.id;
    append(&*store, request(first, vec![example(Some("x"), 1.0)])).await.unwrap();
    append(&*store, request(second, vec![example(Some("y"), 1.0)])).await.unwrap();
    let unknown =
        [id("y"), id(""), ExampleName::Seq(Seq(0)), ExampleName::Seq(Seq(2)), ExampleName::Seq(Seq(u64::MAX))];
    for example in unknown {
        assert_eq!(store.delete_example(first, &example).await.unwrap(), Deletion::Unknown, "{example:?}");
    }
    let nobody = LearnerId(second.0 + 1);
    assert_eq!(store.delete_example(nobody, &ExampleName::Seq(Seq(1))).await.unwrap(), Deletion::Unknown);
    assert_eq!(corrections(&*store, first, 0).await, []);
    store.delete_example(first, &id("x")).await.unwrap();
    for example in [id("x"), ExampleName::Seq(Seq(1))] {
        assert_eq!(store.delete_example(first, &example).await.unwrap(), Deletion::Before(Seq(1)));
    }
    assert_eq!(corrections(&*store, first, 0).await, [(1, 1, CorrectionKind::Deleted)]);
    assert_eq!(numbers(&*store, second).await, [1.0]);
}

pub(crate) async fn a_replaced_example_keeps_its_place(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let examples = vec![example(Some("x"), 1.0), example(Some("y"), 2.0), example(Some("z"), 3.0)];
    append(&*store, request(learner, examples)).await.unwrap();
    let relabelled = NewExample { label: Label::Class("no".into()), ..example(Some("z"), 3.0) };
    let renumbered = NewExample { label: Label::Number(0.5), ..example(Some("y"), 20.0) };
    let answer = append(&*store, replacing(learner, vec![relabelled, renumbered, example(None, 4.0)])).await.unwrap();
    assert_eq!((answer.accepted, answer.duplicates, answer.replaced, answer.head_seq), (1, 0, 2, Seq(4)));
    assert_eq!(numbers(&*store, learner).await, [1.0, 20.0, 3.0, 4.0]);
    assert_eq!(at(&*store, learner, 2).await, (Value::Number(20.0), Label::Number(0.5)));
    assert_eq!(at(&*store, learner, 3).await, (Value::Number(3.0), Label::Class("no".into())));
    let known = append(&*store, request(learner, vec![example(Some("x"), 9.0)])).await.unwrap();
    assert_eq!((known.duplicates, known.replaced), (1, 0));
    assert_eq!(numbers(&*store, learner).await[0], 1.0, "what is not asked to replace never does");
}

pub(crate) async fn what_is_replaced_by_itself_is_not_corrected(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    append(&*store, request(learner, vec![example(Some("x"), 1.0)])).await.unwrap();
    for number in [1.0, 2.0, 2.0, 2.0] {
        let answer = append(&*store, replacing(learner, vec![example(Some("x"), number)])).await.unwrap();
        assert_eq!((answer.accepted, answer.replaced), (0, 1));
    }
    assert_eq!(corrections(&*store, learner, 0).await, [(1, 1, CorrectionKind::Replaced)]);
}

pub(crate) async fn the_last_of_several_replacements_in_a_request_stays(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    append(&*store, request(learner, vec![example(Some("x"), 1.0)])).await.unwrap();
    let several =
        vec![example(Some("x"), 2.0), example(Some("y"), 3.0), example(Some("x"), 4.0), example(Some("y"), 5.0)];
    let answer = append(&*store, replacing(learner, several)).await.unwrap();
    let outcomes = [
        (Outcome::Replaced, Seq(1)),
        (Outcome::Accepted, Seq(2)),
        (Outcome::Replaced, Seq(1)),
        (Outcome::Replaced, Seq(2)),
    ];
    assert_eq!(answer.outcomes.iter().collect::<Vec<_>>(), outcomes);
    assert_eq!(numbers(&*store, learner).await, [4.0, 5.0]);
    assert_eq!(
        corrections(&*store, learner, 0).await,
        [(1, 1, CorrectionKind::Replaced)],
        "a new one is no correction"
    );
}

pub(crate) async fn every_outcome_is_told_in_order(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let body = || vec![example(Some("a"), 1.0), example(None, 2.0), example(Some("a"), 3.0), example(Some("b"), 4.0)];
    let first = append(&*store, keyed(learner, "k", 1, body())).await.unwrap();
    let outcomes = [
        (Outcome::Accepted, Seq(1)),
        (Outcome::Accepted, Seq(2)),
        (Outcome::Duplicate, Seq(1)),
        (Outcome::Accepted, Seq(3)),
    ];
    assert_eq!(first.outcomes.iter().collect::<Vec<_>>(), outcomes);
    let again = append(&*store, request(learner, body())).await.unwrap();
    let outcomes = [
        (Outcome::Duplicate, Seq(1)),
        (Outcome::Accepted, Seq(4)),
        (Outcome::Duplicate, Seq(1)),
        (Outcome::Duplicate, Seq(3)),
    ];
    assert_eq!(again.outcomes.iter().collect::<Vec<_>>(), outcomes);
    assert_eq!(append(&*store, keyed(learner, "k", 1, body())).await.unwrap(), first, "a replay tells the first ones");
}

pub(crate) async fn corrections_are_numbered_without_gaps_and_told(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = learner(&*store, "first").await.id;
    let second = learner(&*store, "second").await.id;
    for learner in [first, second] {
        let examples = (1..=4).map(|number| example(Some(&format!("{number}")), f64::from(number))).collect();
        append(&*store, request(learner, examples)).await.unwrap();
    }
    let mut changes = store.changes();
    store.delete_example(first, &id("3")).await.unwrap();
    while changes.next().await.expect("the store is open") != Change::Stream(first) {}
    store.delete_example(second, &id("4")).await.unwrap();
    append(&*store, replacing(first, vec![example(Some("1"), 10.0), example(Some("2"), 20.0)])).await.unwrap();
    store.delete_example(first, &id("1")).await.unwrap();
    let all = [
        (1, 3, CorrectionKind::Deleted),
        (2, 1, CorrectionKind::Replaced),
        (3, 2, CorrectionKind::Replaced),
        (4, 1, CorrectionKind::Deleted),
    ];
    assert_eq!(corrections(&*store, first, 0).await, all);
    assert_eq!(corrections(&*store, first, 2).await, all[2..]);
    let page = store.corrections(first, 1, 2).await.unwrap();
    assert_eq!(page.iter().map(|correction| correction.number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(corrections(&*store, second, 0).await, [(1, 4, CorrectionKind::Deleted)]);
}

pub(crate) async fn corrections_of_a_deleted_learner_are_gone(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    append(&*store, request(learner, vec![example(Some("x"), 1.0)])).await.unwrap();
    store.delete_example(learner, &id("x")).await.unwrap();
    assert!(store.delete_learner(learner).await.unwrap());
    assert_eq!(corrections(&*store, learner, 0).await, []);
    assert_eq!(store.delete_example(learner, &id("x")).await.unwrap(), Deletion::Unknown);
}
