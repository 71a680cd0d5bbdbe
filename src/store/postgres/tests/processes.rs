//! Several processes on one database: two stores, each with connections of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Fresh, PostgresStore, options, store};
use crate::registry::Cause;
use crate::store::postgres::write::WriteTransaction;
use crate::store::suite::Bench as _;
use crate::store::suite::fixtures::{append, example, fence, keyed, learner, numbers, publish, request};
use crate::stream::{Seq, StoreError, StreamStore as _};
use crate::training::{Change, GrowthOrder, JournalEvent, Store as _, TrainingStore as _};

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn appends_of_two_processes_to_many_learners_stay_dense() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let stores = [store(fresh.database()).await, store(fresh.database()).await];
    let mut learners = Vec::new();
    for name in ["a", "b", "c"] {
        learners.push(learner(&stores[0], name).await.id);
    }
    let mut calls = Vec::new();
    for number in 0..24 {
        let (store, mut order) = (stores[number % 2].clone(), learners.clone());
        // Calls name the learners in different orders: their locks are taken in one.
        order.rotate_left(number % 3);
        calls.push(tokio::spawn(async move {
            let own = format!("{number}");
            let examples = || vec![example(Some(&own), number as f64), example(Some("same"), -1.0)];
            let requests = order.iter().map(|&learner| request(learner, examples())).collect();
            store.append(requests).await.unwrap()
        }));
    }
    let mut accepted = 0;
    for call in calls {
        accepted += call.await.unwrap().into_iter().map(|answer| answer.unwrap().accepted).sum::<u64>();
    }
    assert_eq!(accepted, 3 * 25, "every id was accepted once");
    for learner in learners {
        let stored: BTreeSet<i64> =
            numbers(&stores[1], learner).await.into_iter().map(|number| number as i64).collect();
        assert_eq!(stored, (-1..24).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_two_processes_at_once_writes_once_and_is_answered_alike() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let (one, other) = (store(fresh.database()).await, store(fresh.database()).await);
    let learner = learner(&one, "digits").await.id;
    for round in 0..20 {
        let key = format!("key {round}");
        let call = || keyed(learner, &key, 1, vec![example(None, 1.0), example(None, 2.0)]);
        let (first, second) = tokio::join!(append(&one, call()), append(&other, call()));
        assert_eq!(first.unwrap(), second.unwrap());
    }
    assert_eq!(one.head(learner).await.unwrap(), Seq(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_overtaken_in_another_process_commits_nothing() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let (one, other) = (store(fresh.database()).await, store(fresh.database()).await);
    let learner = learner(&one, "digits").await.id;
    let pass = |number| vec![JournalEvent::Pass { number, until: Seq(1) }];
    let mut positions = Vec::new();
    for round in 0..10 {
        let held = fence(&one, learner).await;
        one.renew_lease(held, time::Duration::ZERO).await.unwrap();
        let write = one.append_journal(held, pass(round));
        let take = other.acquire_lease(learner, "another", time::Duration::ZERO);
        let (written, taken) = tokio::join!(write, take);
        let taken = taken.unwrap().unwrap();
        // Whichever came first: what the old holder wrote stands before anything of the new one, or nowhere.
        let next = other.append_journal(taken, pass(round)).await.unwrap();
        match written {
            Ok(position) => assert_eq!(position + 1, next),
            Err(error) => assert!(matches!(error, StoreError::LeaseLost), "{error}"),
        }
        assert!(matches!(one.append_journal(held, pass(round)).await, Err(StoreError::LeaseLost)));
        positions.push(next);
        other.release_lease(taken).await.unwrap();
    }
    assert!(positions.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_commits_the_others_are_told() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let (one, other) = (store(fresh.database()).await, store(fresh.database()).await);
    let mut changes = other.changes();
    let learner = learner(&one, "digits").await.id;
    append(&one, request(learner, vec![example(None, 1.0)])).await.unwrap();
    one.order_growth(learner, &GrowthOrder::Auto).await.unwrap();
    publish(&one, fence(&one, learner).await, 2, Cause::Trained).await;
    let expected = [Change::Learner(learner), Change::Stream(learner), Change::Order(learner), Change::Alias(learner)];
    for change in expected {
        let told = tokio::time::timeout(PATIENCE, changes.next()).await.expect("told in time");
        assert_eq!(told, Some(change), "in the order of the commits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_connection_no_longer_than_asked() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let few = options(fresh.database()).connections(2).wait(Duration::from_millis(200));
    let store = PostgresStore::open(&few).await.unwrap();
    let id = learner(&store, "digits").await.id;
    let (one, other) = (store.write().await.unwrap(), store.write().await.unwrap());
    let (appending, _) = WriteTransaction::begin_appending(&store.appender, "").await.unwrap();
    let refused = tokio::time::timeout(PATIENCE, store.head(id)).await.expect("answered in time").map(drop);
    let appended = store.append(vec![request(id, vec![example(None, 1.0)])]);
    let appended = tokio::time::timeout(PATIENCE, appended).await.expect("answered in time").map(drop);
    for refused in [refused, appended] {
        let why = format!("{refused:?}");
        assert!(matches!(refused, Err(StoreError::Unavailable(reason)) if reason.contains("connection")), "{why}");
    }
    for transaction in [one, other, appending] {
        transaction.roll_back().await.unwrap();
    }
    assert_eq!(append(&store, request(id, vec![example(None, 1.0)])).await.unwrap().head_seq, Seq(1));
}
