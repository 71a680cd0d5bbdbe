//! Claims about the feed of changes.

use std::time::Duration;

use super::Bench;
use super::fixtures::{append, document, example, fence, learner, publish, request};
use crate::registry::Cause;
use crate::training::{Change, Changes, GrowthOrder};

/// How long a change may take before the test says that it is not told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the feed until this change comes; what else is told meanwhile does not matter.
async fn told(changes: &mut Changes, expected: Change) {
    let search = async { while changes.next().await.expect("the store is open") != expected {} };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("{expected} was not told"));
}

pub(crate) async fn what_is_committed_is_told_to_those_who_follow(bench: &dyn Bench) {
    let store = bench.open().await;
    let mut changes = store.changes();
    let learner = learner(&*store, "digits").await.id;
    told(&mut changes, Change::Learner(learner)).await;
    append(&*store, request(learner, vec![example(None, 1.0)])).await.unwrap();
    told(&mut changes, Change::Stream(learner)).await;
    store.order_growth(learner, &GrowthOrder::Auto).await.unwrap();
    told(&mut changes, Change::Order(learner)).await;
    let fence = fence(&*store, learner).await;
    publish(&*store, fence, 2, Cause::Trained).await;
    told(&mut changes, Change::Alias(learner)).await;
    store.release_lease(fence).await.unwrap();
    told(&mut changes, Change::Lease(learner)).await;
    store.update_learner(learner, 1, &document("digits")).await.unwrap().unwrap();
    told(&mut changes, Change::Learner(learner)).await;
    assert!(store.delete_learner(learner).await.unwrap());
    told(&mut changes, Change::Learner(learner)).await;
}
