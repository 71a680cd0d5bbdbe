//! The slot of a learner: where the version that answers by default stands, and is swapped.
//!
//! A reader takes one snapshot and keeps it; a swap never waits for readers and readers never wait for a swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use prometheus::{IntCounter, IntGauge};

use super::model::LoadedModel;
use crate::metrics::ServingMetrics;
use crate::registry::VersionId;
use crate::stream::{LearnerId, LearnerName};

/// One learner's slot.
pub struct Slot {
    /// Whose.
    pub learner: LearnerId,
    /// Held while `live` is read and loaded, so that loads of one learner follow each other and the last one to finish
    /// is the last one to have asked what `live` names.
    pub loading: tokio::sync::Mutex<()>,
    /// Rows predicted. The slot holds the learner's own counters: once these are removed with the learner, what still
    /// runs counts into nothing instead of bringing the label back.
    pub rows: IntCounter,
    /// Loads that failed.
    pub load_failures: IntCounter,
    version: IntGauge,
    live: ArcSwapOption<LoadedModel>,
    follower: Mutex<Follower>,
}

/// Where the background load of a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follower {
    /// Nothing runs.
    Resting,
    /// A load runs.
    Loading,
    /// A load runs and `live` moved meanwhile: another must follow.
    Behind,
    /// The learner is deleted.
    Forgotten,
}

impl Slot {
    fn new(learner: LearnerId, name: &LearnerName, metrics: &ServingMetrics) -> Self {
        let label = &[name.as_str()];
        Self {
            learner,
            loading: tokio::sync::Mutex::new(()),
            rows: metrics.rows.with_label_values(label),
            load_failures: metrics.load_failures.with_label_values(label),
            version: metrics.version.with_label_values(label),
            live: ArcSwapOption::empty(),
            follower: Mutex::new(Follower::Resting),
        }
    }

    /// The version that answers now.
    pub fn live(&self) -> Option<Arc<LoadedModel>> {
        self.live.load_full()
    }

    /// Swaps a version in. The previous one is freed by whoever holds it last.
    pub fn swap(&self, model: Arc<LoadedModel>) {
        self.version.set(i64::try_from(model.version.0).unwrap_or(i64::MAX));
        self.live.store(Some(model));
    }

    /// `live` moved: whether the caller must start a load; otherwise one runs and will see the move.
    pub fn moved(&self) -> bool {
        let mut follower = self.follower();
        match *follower {
            Follower::Resting => {
                *follower = Follower::Loading;
                true
            }
            Follower::Loading => {
                *follower = Follower::Behind;
                false
            }
            Follower::Behind | Follower::Forgotten => false,
        }
    }

    /// A background load ended: whether another must follow because `live` moved meanwhile.
    pub fn loaded(&self) -> bool {
        let mut follower = self.follower();
        match *follower {
            Follower::Behind => {
                *follower = Follower::Loading;
                true
            }
            Follower::Loading => {
                *follower = Follower::Resting;
                false
            }
            Follower::Resting | Follower::Forgotten => false,
        }
    }

    /// Whether the learner was deleted.
    pub fn is_forgotten(&self) -> bool {
        *self.follower() == Follower::Forgotten
    }

    fn forget(&self) {
        *self.follower() = Follower::Forgotten;
    }

    fn follower(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots of all learners.
#[derive(Default)]
pub struct Slots {
    slots: RwLock<HashMap<LearnerId, Arc<Slot>>>,
}

impl Slots {
    /// A learner's slot.
    pub fn get(&self, learner: LearnerId) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&learner).cloned()
    }

    /// A learner's slot, made if it is not there.
    pub fn get_or_create(&self, learner: LearnerId, name: &LearnerName, metrics: &ServingMetrics) -> Arc<Slot> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.entry(learner).or_insert_with(|| Arc::new(Slot::new(learner, name, metrics))).clone()
    }

    /// Removes a learner's slot.
    pub fn remove(&self, learner: LearnerId) {
        if let Some(slot) = self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&learner) {
            slot.forget();
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version: Option<VersionId> = self.live().map(|model| model.version);
        formatter.debug_struct("Slot").field("learner", &self.learner).field("version", &version).finish()
    }
}
