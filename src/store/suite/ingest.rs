//! Claims about examples and idempotency keys.

use super::Bench;
use super::fixtures::{self, example, keyed, learner, numbers, request};
use crate::stream::{Append, AppendRefusal, Appended, Entry, Label, LearnerId, NewExample, Outcomes, Seq, Value};
use crate::training::Store;

fn answer(accepted: u64, duplicates: u64, head: u64) -> Appended {
    Appended {
        accepted,
        duplicates,
        replaced: 0,
        first_seq: (accepted > 0).then(|| Seq(head + 1 - accepted)),
        last_seq: (accepted > 0).then_some(Seq(head)),
        head_seq: Seq(head),
        outcomes: Outcomes::default(),
    }
}

/// Appends one request; the counts of its answer.
async fn append(store: &dyn Store, request: Append) -> Result<Appended, AppendRefusal> {
    fixtures::append(store, request).await.map(Appended::without_outcomes)
}

/// Appends requests in one transaction; the counts of their answers.
async fn append_all(store: &dyn Store, requests: Vec<Append>) -> Vec<Result<Appended, AppendRefusal>> {
    let answers = store.append(requests).await.unwrap();
    answers.into_iter().map(|answer| answer.map(Appended::without_outcomes)).collect()
}

pub(crate) async fn acked_examples_are_read_back_dense_after_reopening(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    assert_eq!(
        append(&*store, request(learner, vec![example(None, 1.0), example(None, 2.0)])).await,
        Ok(answer(2, 0, 2))
    );
    assert_eq!(append(&*store, request(learner, vec![])).await, Ok(answer(0, 0, 2)));
    assert_eq!(append(&*store, request(learner, vec![example(Some("x"), 3.0)])).await, Ok(answer(1, 0, 3)));
    store.close().await;
    let store = bench.open().await;
    assert_eq!(numbers(&*store, learner).await, [1.0, 2.0, 3.0]);
    let last = store.read(learner, Seq(2), 10).await.unwrap().pop().unwrap().into_example().unwrap();
    assert_eq!((last.id.as_deref(), last.label), (Some("x"), Label::Class("yes".into())));
    assert_eq!(last.row, [Value::Number(3.0), Value::Missing]);
}

pub(crate) async fn an_id_that_is_known_is_counted_and_not_stored_again(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = learner(&*store, "first").await.id;
    let second = learner(&*store, "second").await.id;
    append(&*store, request(first, vec![example(Some("x"), 1.0)])).await.unwrap();
    let again = vec![example(Some("y"), 2.0), example(Some("x"), 3.0), example(None, 4.0)];
    assert_eq!(append(&*store, request(first, again)).await, Ok(answer(2, 1, 3)));
    assert_eq!(append(&*store, request(first, vec![example(Some("x"), 5.0)])).await, Ok(answer(0, 1, 3)));
    assert_eq!(numbers(&*store, first).await, [1.0, 2.0, 4.0]);
    assert_eq!(append(&*store, request(second, vec![example(Some("x"), 1.0)])).await, Ok(answer(1, 0, 1)));
}

pub(crate) async fn an_id_that_comes_twice_in_one_call_is_stored_once(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let twice = request(learner, vec![example(Some("x"), 1.0), example(Some("x"), 2.0), example(Some("y"), 3.0)]);
    let later = request(learner, vec![example(Some("y"), 4.0), example(Some("z"), 5.0)]);
    let answers = append_all(&*store, vec![twice, later]).await;
    assert_eq!(answers, [Ok(answer(2, 1, 2)), Ok(answer(1, 1, 3))]);
    assert_eq!(numbers(&*store, learner).await, [1.0, 3.0, 5.0]);
}

pub(crate) async fn a_replay_gets_the_first_answer_even_after_reopening(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let body = || vec![example(Some("x"), 1.0), example(None, 2.0)];
    let first = append(&*store, keyed(learner, "k", 1, body())).await;
    assert_eq!(first, Ok(answer(2, 0, 2)));
    append(&*store, request(learner, vec![example(None, 3.0)])).await.unwrap();
    assert_eq!(append(&*store, keyed(learner, "k", 1, body())).await, first);
    store.close().await;
    let store = bench.open().await;
    let replays = append_all(&*store, vec![keyed(learner, "k", 1, body()), keyed(learner, "k", 1, body())]).await;
    assert_eq!(replays, [first.clone(), first]);
    assert_eq!(numbers(&*store, learner).await, [1.0, 2.0, 3.0]);
}

pub(crate) async fn a_key_with_another_body_is_refused_and_stores_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let requests = vec![
        keyed(learner, "k", 1, vec![example(None, 1.0)]),
        keyed(learner, "k", 2, vec![example(None, 2.0)]),
        request(learner, vec![example(None, 3.0)]),
    ];
    let answers = append_all(&*store, requests).await;
    assert_eq!(answers, [Ok(answer(1, 0, 1)), Err(AppendRefusal::KeyReused), Ok(answer(1, 0, 2))]);
    assert_eq!(numbers(&*store, learner).await, [1.0, 3.0]);
}

pub(crate) async fn a_key_belongs_to_its_learner(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = learner(&*store, "first").await.id;
    let second = learner(&*store, "second").await.id;
    append(&*store, keyed(first, "k", 1, vec![example(None, 1.0)])).await.unwrap();
    assert_eq!(append(&*store, keyed(second, "k", 2, vec![example(None, 2.0)])).await, Ok(answer(1, 0, 1)));
}

pub(crate) async fn keys_are_forgotten_after_their_days_and_not_before(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    for key in ["k", "l"] {
        append(&*store, keyed(learner, key, 1, vec![example(None, 1.0)])).await.unwrap();
    }
    assert_eq!(store.sweep_keys(1).await.unwrap(), 0);
    assert_eq!(append(&*store, keyed(learner, "k", 1, vec![example(None, 1.0)])).await, Ok(answer(1, 0, 1)));
    assert_eq!(store.sweep_keys(0).await.unwrap(), 2);
    assert_eq!(append(&*store, keyed(learner, "k", 2, vec![example(None, 2.0)])).await, Ok(answer(1, 0, 3)));
}

pub(crate) async fn concurrent_appends_stay_dense(bench: &dyn Bench) {
    let store = bench.open().await;
    let other = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let mut calls = Vec::new();
    for number in 0..20 {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        calls.push(tokio::spawn(async move {
            let examples = vec![example(Some(&format!("{number}")), f64::from(number)), example(Some("same"), -1.0)];
            append(&*store, request(learner, examples)).await.unwrap()
        }));
    }
    let mut accepted = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        accepted.extend(answer.first_seq.unwrap().0..=answer.last_seq.unwrap().0);
    }
    accepted.sort_unstable();
    assert_eq!(accepted, (1..=21).collect::<Vec<_>>(), "every place was given to one request");
    let mut stored = numbers(&*store, learner).await;
    stored.sort_unstable_by(f64::total_cmp);
    assert_eq!(stored, (-1..20).map(f64::from).collect::<Vec<_>>());
}

pub(crate) async fn many_rows_with_ids_keep_their_order(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let batch = |range: std::ops::Range<i32>| -> Vec<NewExample> {
        range.map(|number| example(Some(&format!("row {number}")), f64::from(number))).collect()
    };
    assert_eq!(append(&*store, request(learner, batch(0..300))).await, Ok(answer(300, 0, 300)));
    assert_eq!(append(&*store, request(learner, batch(150..500))).await, Ok(answer(200, 150, 500)));
    assert_eq!(numbers(&*store, learner).await, (0..500).map(f64::from).collect::<Vec<_>>());
}

pub(crate) async fn labels_come_back_exactly(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let labels = [
        Label::Number(0.1 + 0.2),
        Label::Number(f64::MIN_POSITIVE / 3.0),
        Label::Number(-1.797_693_134_862_315_7e308),
        Label::Number(3.0),
        Label::Class(String::new()),
        Label::Class("3".into()),
        Label::Class("a 'quoted' \u{0} ключ".into()),
    ];
    let examples = labels.iter().map(|label| NewExample { label: label.clone(), ..example(None, 0.0) }).collect();
    append(&*store, request(learner, examples)).await.unwrap();
    let read = store.read(learner, Seq(0), 10).await.unwrap();
    let read: Vec<Label> = read.into_iter().filter_map(Entry::into_example).map(|example| example.label).collect();
    assert_eq!(read, labels);
    let part = store.labels(learner, Seq(1), Seq(3)).await.unwrap();
    assert_eq!(part, [(Seq(2), Some(labels[1].clone())), (Seq(3), Some(labels[2].clone()))]);
    assert_eq!(store.labels(learner, Seq(0), Seq(u64::MAX)).await.unwrap().len(), labels.len());
}

pub(crate) async fn fetched_places_that_do_not_exist_are_left_out(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let examples = (1..=5).map(|number| example(None, f64::from(number))).collect();
    append(&*store, request(learner, examples)).await.unwrap();
    let places = [Seq(5), Seq(0), Seq(2), Seq(6), Seq(u64::MAX)];
    let mut fetched: Vec<u64> =
        store.fetch(learner, &places).await.unwrap().iter().map(|entry| entry.seq().0).collect();
    fetched.sort_unstable();
    assert_eq!(fetched, [2, 5]);
    assert!(store.fetch(learner, &[]).await.unwrap().is_empty());
}

pub(crate) async fn a_gone_learner_is_refused_and_the_others_are_stored(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let requests =
        vec![request(LearnerId(learner.0 + 1), vec![example(None, 1.0)]), request(learner, vec![example(None, 2.0)])];
    let answers = append_all(&*store, requests).await;
    assert_eq!(answers, [Err(AppendRefusal::LearnerGone), Ok(answer(1, 0, 1))]);
    assert_eq!(numbers(&*store, learner).await, [2.0]);
}

pub(crate) async fn pages_of_a_stream_follow_each_other(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let examples = (1..=7).map(|number| example(None, f64::from(number))).collect();
    append(&*store, request(learner, examples)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied().unwrap_or(Seq(0));
        let page = store.read(learner, after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(Entry::seq));
    }
    assert_eq!(seen, (1..=7).map(Seq).collect::<Vec<_>>());
}
