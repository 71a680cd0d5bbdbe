//! Following the store: what one process does, the others of its fleet keep in step with.
//!
//! One task a process. What the store tells makes it fast, a look at everything every so often makes it right: a follower
//! that is told nothing at all is never further behind than one look. Started by `cli`, followed by trainers and edge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::changes::{Change, Changes};
use super::fleet::Overview;
use super::store::Store;
use crate::stream::{LearnerId, StoreError};

/// Learners read from the store at a time.
const PAGE: usize = 500;

/// Every learner of the store, at one look.
pub type Learners = BTreeMap<LearnerId, Overview>;

/// Someone who keeps in step with a store. Both calls are made by one task, one after the other, so they must not take
/// long.
#[async_trait]
pub trait Follower: Send + Sync + 'static {
    /// Something was committed. Never [`Change::Missed`]: then everything is looked at.
    async fn told(&self, change: Change);

    /// What the store holds. A learner that is not here may have been created while it was read: whoever forgets one asks
    /// the store first.
    async fn seen(&self, learners: &Learners);
}

/// Follows the store until `stop`. The first look is at once.
pub async fn follow(
    store: Arc<dyn Store>,
    look_every: Duration,
    followers: Vec<Arc<dyn Follower>>,
    stop: CancellationToken,
) {
    let changes = store.changes();
    let following = run(&*store, changes, look_every, &followers);
    // What a follower is in the middle of is broken off: it reads, and changes nothing that lasts.
    stop.run_until_cancelled(following).await;
}

async fn run(store: &dyn Store, mut changes: Changes, look_every: Duration, followers: &[Arc<dyn Follower>]) {
    let mut looks = interval(look_every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing_since = None;
    loop {
        let change = tokio::select! {
            change = changes.next() => change.unwrap_or(Change::Missed),
            _ = looks.tick() => Change::Missed,
        };
        if change != Change::Missed {
            for follower in followers {
                follower.told(change).await;
            }
            continue;
        }
        match look(store).await {
            Ok(learners) => {
                if let Some(since) = failing_since.take() {
                    let seconds = Instant::now().duration_since(since).as_secs();
                    tracing::info!(seconds, "the store can be looked at again");
                }
                for follower in followers {
                    follower.seen(&learners).await;
                }
            }
            Err(error) if failing_since.is_none() => {
                failing_since = Some(Instant::now());
                tracing::warn!(%error, "the store cannot be looked at; it is tried again and again");
            }
            Err(_) => {}
        }
        // A look after a change that was missed is a look too.
        looks.reset();
    }
}

async fn look(store: &dyn Store) -> Result<Learners, StoreError> {
    let mut learners = Learners::new();
    loop {
        let after = learners.last_key_value().map_or(LearnerId(i64::MIN), |(learner, _)| *learner);
        let page = store.overview(after, PAGE).await?;
        let full = page.len() == PAGE;
        learners.extend(page.into_iter().map(|overview| (overview.learner, overview)));
        if !full {
            return Ok(learners);
        }
    }
}
