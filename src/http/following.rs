//! How a server keeps in step with the store, whichever process wrote it: the learners that it knows, their schemas, what
//! `live` names, and how far their streams go.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::ingest_counts;
use super::state::AppState;
use crate::registry::VersionId;
use crate::stream::{LearnerId, StoreError};
use crate::training::{Change, Follower, Learners, Overview};

/// What was seen of the store. Cheap to clone.
#[derive(Clone, Default)]
pub struct Following(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    learners: BTreeMap<LearnerId, Stamp>,
    /// Learners that are being taken up or forgotten.
    under_way: BTreeSet<LearnerId>,
}

/// What tells that a learner has to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    revision: u64,
    /// Every commit that changes the schema brings a version.
    last_version: VersionId,
    live: Option<VersionId>,
}

impl Following {
    /// Forgets a learner.
    pub fn forget(&self, learner: LearnerId) {
        self.seen().learners.remove(&learner);
    }

    /// Whether the caller is to do what has to be done with a learner; nobody else does meanwhile.
    fn begin(&self, learner: LearnerId) -> bool {
        self.seen().under_way.insert(learner)
    }

    fn end(&self, learner: LearnerId) {
        self.seen().under_way.remove(&learner);
    }

    /// The learner's newest stamp; the one before.
    fn stamp(&self, learner: LearnerId, stamp: Stamp) -> Option<Stamp> {
        self.seen().learners.insert(learner, stamp)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Follower for AppState {
    async fn told(&self, change: Change) {
        match change {
            Change::Alias(learner) => {
                self.predictor.aliases_changed(learner);
                self.predictor.live_moved(learner);
            }
            Change::Learner(learner) => self.read_again(learner).await,
            // The trainers' matter.
            Change::Stream(_) | Change::Order(_) | Change::Lease(_) | Change::Missed => {}
        }
    }

    async fn seen(&self, learners: &Learners) {
        let known: BTreeSet<LearnerId> = self.directory.all().iter().map(|record| record.id).collect();
        for overview in learners.values() {
            if known.contains(&overview.learner) {
                self.compare(overview).await;
            } else {
                self.read_again(overview.learner).await;
            }
        }
        for &learner in known.iter().filter(|learner| !learners.contains_key(learner)) {
            self.read_again(learner).await;
        }
    }
}

impl AppState {
    /// Compares a known learner with what was seen of it before.
    async fn compare(&self, overview: &Overview) {
        let learner = overview.learner;
        let trained = self.supervisor.as_ref().and_then(|supervisor| supervisor.status(learner));
        let trained = trained.map_or(overview.trained_seq, |status| status.trained_seq.max(overview.trained_seq));
        ingest_counts::stream(self, &overview.name, overview.head, trained);
        let stamp = Stamp { revision: overview.revision, last_version: overview.last_version, live: overview.live };
        let before = self.following.stamp(learner, stamp);
        if before.map_or(self.predictor.serving(learner), |before| before.live) != stamp.live {
            self.predictor.live_moved(learner);
        }
        let documents = |stamp: Stamp| (stamp.revision, stamp.last_version);
        if before.map(documents) != Some(documents(stamp)) {
            self.read_again(learner).await;
        }
    }

    /// Reads a learner of which something changed: it is renewed, taken up or forgotten here.
    async fn read_again(&self, learner: LearnerId) {
        match self.store.learner_by_id(learner).await {
            Ok(Some(record)) if self.directory.is_known(learner) => self.directory.renew(record),
            Ok(Some(record)) => {
                let state = self.clone();
                self.behind(learner, async move { state.take_up(record).await });
            }
            Ok(None) => {
                if let Some(record) = self.directory.all().into_iter().find(|record| record.id == learner) {
                    tracing::info!(learner = %record.document.name, "deleted by another process");
                    let state = self.clone();
                    self.behind(learner, async move { state.forget(&record).await });
                }
            }
            Err(error) => self.read_failed(learner, &error),
        }
    }

    fn read_failed(&self, learner: LearnerId, error: &StoreError) {
        // Without a stamp the next look reads it again.
        self.following.forget(learner);
        tracing::debug!(learner = learner.0, %error, "a learner cannot be read; it is tried again");
    }

    /// Does something with a learner that takes its time, unless something is being done with it.
    fn behind(&self, learner: LearnerId, work: impl Future<Output = ()> + Send + 'static) {
        let following = self.following.clone();
        if following.begin(learner) {
            tokio::spawn(async move {
                work.await;
                following.end(learner);
            });
        }
    }
}
