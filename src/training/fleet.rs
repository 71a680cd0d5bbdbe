//! What the processes of a fleet know of each other: who trains what, and how it went.
//!
//! Processes share nothing but the store. A lease says who trains a learner; when it ends is measured by the database's
//! clock, so the clocks of the processes do not matter. An [`Overview`] is what one cheap look at the store tells of a
//! learner: enough to see what is new, and never the truth that a write rests on (that is the fence).

use std::time::Duration;

use async_trait::async_trait;

use super::store::{Fence, Store};
use crate::registry::VersionId;
use crate::stream::{LearnerId, LearnerName, Seq, StoreError};

/// Learners read from the store at a time.
const PAGE: usize = 500;

/// Where a learner stands, without its documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Its number.
    pub learner: LearnerId,
    /// Its name.
    pub name: LearnerName,
    /// Raised by every change of settings.
    pub revision: u64,
    /// The newest place of its stream.
    pub head: Seq,
    /// Every example up to here is in its checkpoint.
    pub trained_seq: Seq,
    /// Journal inputs up to here are in its checkpoint.
    pub position: u64,
    /// The newest version.
    pub last_version: VersionId,
    /// What `live` names.
    pub live: Option<VersionId>,
    /// Operators' orders that wait.
    pub orders: u64,
    /// The token of its newest lease: another number says that it was taken since; 0: it never was.
    pub token: u64,
    /// Who holds its lease.
    pub holder: Option<Holder>,
    /// How its newest trainer failed, if it did and nobody has taken the learner since.
    pub failure: Option<Failure>,
}

/// Who trains a learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the process: host, process number, and what tells it from all others.
    pub owner: String,
    /// So long the lease still lasts; zero: others may take it.
    pub expires_in: Duration,
}

/// How a trainer failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure; the words are in the log of the process.
    pub kind: String,
    /// So long the learner is best left alone.
    pub retry_in: Duration,
}

impl Overview {
    /// Who trains it, unless that is this process or a lease that has run out.
    pub fn trained_elsewhere(&self, owner: &str) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| holder.owner != owner && !holder.expires_in.is_zero())
    }
}

/// What a fleet asks of a store.
#[async_trait]
pub trait FleetStore: Send + Sync + 'static {
    /// The learners after a number, in order of number, at most `limit`.
    async fn overview(&self, after: LearnerId, limit: usize) -> Result<Vec<Overview>, StoreError>;

    /// Gives a lease back because its trainer failed: everybody sees the kind of failure, and that the learner is best left
    /// alone for `pause`. Nothing if the fence is old.
    async fn fail_lease(&self, fence: Fence, kind: &str, pause: Duration) -> Result<(), StoreError>;

    /// One learner.
    async fn overview_of(&self, learner: LearnerId) -> Result<Option<Overview>, StoreError> {
        let next = self.overview(LearnerId(learner.0.saturating_sub(1)), 1).await?.pop();
        Ok(next.filter(|overview| overview.learner == learner))
    }
}

/// Frees every lease, so that training goes on at once. Only for a process that knows that there is no other: whoever held
/// them is gone.
pub async fn free_leases(store: &dyn Store) -> Result<(), StoreError> {
    let mut after = LearnerId(i64::MIN);
    loop {
        let page = store.overview(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.learner;
        for overview in page {
            let Some(holder) = overview.holder else { continue };
            if let Some(fence) = store.acquire_lease(overview.learner, &holder.owner, time::Duration::ZERO).await? {
                store.release_lease(fence).await?;
            }
        }
    }
}

/// The name of this process among the holders of leases: the host and the process for people, and what no other process has
/// or will have.
pub fn process_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("host");
    format!("{host}/{}/{}", std::process::id(), uuid::Uuid::new_v4().simple())
}
