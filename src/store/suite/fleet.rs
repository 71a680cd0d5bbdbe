//! Claims about what the processes of a fleet see of each other.

use time::Duration;

use super::Bench;
use super::fixtures::{append, example, fence, learner, publish, request};
use crate::registry::{Cause, VersionId};
use crate::stream::{LearnerId, Seq, StoreError};
use crate::training::fleet::{Failure, Holder};
use crate::training::{GrowthOrder, Store};

pub(crate) async fn an_overview_shows_where_every_learner_stands(bench: &dyn Bench) {
    let store = bench.open().await;
    let one = learner(&*store, "one").await;
    let two = learner(&*store, "two").await.id;
    append(&*store, request(two, vec![example(None, 1.0), example(None, 2.0)])).await.unwrap();
    let held = fence(&*store, two).await;
    publish(&*store, held, 2, Cause::Trained).await;
    store.order_growth(two, &GrowthOrder::Auto).await.unwrap();
    store.update_learner(one.id, 1, &one.document).await.unwrap().unwrap();
    let all = store.overview(LearnerId(i64::MIN), 10).await.unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|seen| {
            (seen.name.as_str(), seen.revision, seen.head, seen.trained_seq, seen.live, seen.orders, seen.token)
        })
        .collect();
    let live = |version| Some(VersionId(version));
    assert_eq!(shown, [("one", 2, Seq(0), Seq(0), live(1), 0, 0), ("two", 1, Seq(2), Seq(10), live(2), 1, held.token)]);
    assert_eq!((all[1].position, all[1].last_version), (2, VersionId(2)));
    assert_eq!(store.overview(LearnerId(i64::MIN), 1).await.unwrap()[0].learner, one.id);
    assert_eq!(store.overview(one.id, 10).await.unwrap().len(), 1);
    assert_eq!(store.overview_of(one.id).await.unwrap(), Some(all[0].clone()));
    assert_eq!(store.overview_of(LearnerId(two.0 + 1)).await.unwrap(), None);
    store.delete_learner(one.id).await.unwrap();
    assert_eq!(store.overview_of(one.id).await.unwrap(), None);
    assert_eq!(store.overview(LearnerId(i64::MIN), 10).await.unwrap().len(), 1);
}

async fn seen(store: &dyn Store, learner: LearnerId) -> (Option<Holder>, Option<Failure>) {
    let overview = store.overview_of(learner).await.unwrap().unwrap();
    (overview.holder, overview.failure)
}

pub(crate) async fn a_lease_shows_its_holder_until_it_runs_out_by_the_clock_of_the_database(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    assert_eq!(seen(&*store, learner).await, (None, None));
    let held = store.acquire_lease(learner, "host/1/x", Duration::MINUTE).await.unwrap().unwrap();
    let holder = seen(&*store, learner).await.0.unwrap();
    assert_eq!(holder.owner, "host/1/x");
    assert!(!holder.expires_in.is_zero() && holder.expires_in <= std::time::Duration::from_secs(60));
    let overview = store.overview_of(learner).await.unwrap().unwrap();
    assert!(overview.trained_elsewhere("host/2/y").is_some() && overview.trained_elsewhere("host/1/x").is_none());
    store.renew_lease(held, Duration::ZERO).await.unwrap();
    let holder = seen(&*store, learner).await.0.unwrap();
    assert_eq!((holder.owner.as_str(), holder.expires_in), ("host/1/x", std::time::Duration::ZERO));
    let overview = store.overview_of(learner).await.unwrap().unwrap();
    assert!(overview.trained_elsewhere("host/2/y").is_none(), "a lease that has run out is nobody's");
    store.release_lease(held).await.unwrap();
    assert_eq!(seen(&*store, learner).await, (None, None));
}

pub(crate) async fn a_failure_is_shown_until_the_learner_is_taken_again(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let held = fence(&*store, learner).await;
    let pause = std::time::Duration::from_secs(60);
    store.fail_lease(held, "growth", pause).await.unwrap();
    let (holder, failure) = seen(&*store, learner).await;
    let failure = failure.unwrap();
    assert_eq!((holder, failure.kind.as_str()), (None, "growth"));
    assert!(!failure.retry_in.is_zero() && failure.retry_in <= pause);
    assert!(matches!(store.append_journal(held, vec![]).await, Err(StoreError::LeaseLost)));
    let next = fence(&*store, learner).await;
    assert!(next.token > held.token, "whoever takes it may: the pause is advice");
    assert_eq!(seen(&*store, learner).await.1, None);
    store.fail_lease(held, "late", pause).await.unwrap();
    let (holder, failure) = seen(&*store, learner).await;
    assert!(holder.is_some() && failure.is_none(), "an old fence changes nothing");
    store.fail_lease(next, "store", std::time::Duration::ZERO).await.unwrap();
    let failure = seen(&*store, learner).await.1.unwrap();
    assert_eq!((failure.kind.as_str(), failure.retry_in), ("store", std::time::Duration::ZERO));
}
