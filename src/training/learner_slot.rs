//! A learner's place in the supervisor: its status for readers, and its trainer while it is in memory.
//!
//! The trainer is locked for the whole of a turn; everything else is read without waiting for it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::fleet::Overview;
use super::status::{TrainerStatus, TrainingState};
use super::store::Fence;
use super::trainer::Trainer;
use crate::stream::{LearnerId, LearnerName, Seq};

/// The pause after a first failure, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is compared between two looks at a learner: anything else says that there may be something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    token: u64,
    is_held: bool,
    head: Seq,
    revision: u64,
    orders: u64,
}

/// A learner that this process trains, or may train.
pub(super) struct LearnerSlot {
    pub learner: LearnerId,
    pub name: LearnerName,
    status: ArcSwap<TrainerStatus>,
    trainer: Mutex<Option<Box<Trainer>>>,
    /// The lease that the trainer in memory holds, and since when.
    fence: Mutex<Option<(Fence, Instant)>>,
    /// Set when the learner is deleted.
    pub removed: AtomicBool,
    /// Set when the lease was lost between turns.
    pub lease_lost: AtomicBool,
    /// Set when the trainer is to be put away at the next boundary between inputs, for others to take.
    pub wanted_back: AtomicBool,
    /// Set while it waits whether somebody else takes it first.
    pub hesitates: AtomicBool,
    failures: AtomicU32,
    /// Until when it is left alone after a failure.
    paused_until: Mutex<Option<Instant>>,
    /// Whether another process holds the lease, as far as is known.
    elsewhere: AtomicBool,
    /// The token of the holding that the status is of, and whether there was a later one.
    shown_token: AtomicU64,
    is_outdated: AtomicBool,
    /// Since when it has nothing to do.
    resting_since: Mutex<Option<Instant>>,
    looked: Mutex<Option<Looked>>,
}

impl Looked {
    /// Of a learner that the store shows so.
    pub fn at(overview: &Overview) -> Self {
        Self {
            token: overview.token,
            is_held: overview.holder.is_some(),
            head: overview.head,
            revision: overview.revision,
            orders: overview.orders,
        }
    }
}

impl LearnerSlot {
    /// A learner without a trainer in memory, whose status is that of the holding `token`.
    pub fn new(learner: LearnerId, name: LearnerName, status: TrainerStatus, token: u64) -> Self {
        Self {
            learner,
            name,
            status: ArcSwap::from_pointee(status),
            trainer: Mutex::new(None),
            fence: Mutex::new(None),
            removed: AtomicBool::new(false),
            lease_lost: AtomicBool::new(false),
            wanted_back: AtomicBool::new(false),
            hesitates: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            paused_until: Mutex::new(None),
            elsewhere: AtomicBool::new(false),
            shown_token: AtomicU64::new(token),
            is_outdated: AtomicBool::new(false),
            resting_since: Mutex::new(None),
            looked: Mutex::new(None),
        }
    }

    /// The newest snapshot.
    pub fn status(&self) -> Arc<TrainerStatus> {
        self.status.load_full()
    }

    /// A new snapshot.
    pub fn show(&self, status: TrainerStatus) {
        *lock(&self.resting_since) = (status.state == TrainingState::Idle).then(Instant::now);
        self.status.store(Arc::new(status));
    }

    /// Whether the newest snapshot is of the learner as it is: no other process has trained it since.
    pub fn is_current(&self) -> bool {
        !self.is_outdated.load(Ordering::Relaxed)
    }

    /// The newest holding of the learner has this token.
    pub fn trained_up_to(&self, token: u64) {
        self.is_outdated.store(token > self.shown_token.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Since when the trainer here has had nothing to do.
    pub fn resting_since(&self) -> Option<Instant> {
        *lock(&self.resting_since)
    }

    /// Whether another process holds the lease, as far as is known.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// Another process holds the lease, or no longer.
    pub fn set_elsewhere(&self, elsewhere: bool) {
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
    }

    /// The learner looks so now; whether that is new.
    pub fn look(&self, now: Looked) -> bool {
        lock(&self.looked).replace(now) != Some(now)
    }

    /// However the learner looks next, it is new: what was seen is not what was met.
    pub fn look_again(&self) {
        lock(&self.looked).take();
    }

    /// The trainer; waits for the end of a turn.
    pub fn trainer(&self) -> MutexGuard<'_, Option<Box<Trainer>>> {
        lock(&self.trainer)
    }

    /// The trainer, unless a turn is under way.
    pub fn resting_trainer(&self) -> Option<MutexGuard<'_, Option<Box<Trainer>>>> {
        self.trainer.try_lock().ok()
    }

    /// Which lease is to be renewed.
    pub fn fence(&self) -> Option<Fence> {
        lock(&self.fence).map(|(fence, _)| fence)
    }

    /// Since when it is held.
    pub fn held_since(&self) -> Option<Instant> {
        lock(&self.fence).map(|(_, since)| since)
    }

    /// Which lease is held from now on.
    pub fn set_fence(&self, fence: Option<Fence>) {
        if let Some(fence) = fence {
            self.set_elsewhere(false);
            self.shown_token.store(fence.token, Ordering::Relaxed);
            self.is_outdated.store(false, Ordering::Relaxed);
        }
        self.wanted_back.store(false, Ordering::Relaxed);
        *lock(&self.fence) = fence.map(|fence| (fence, Instant::now()));
    }

    /// A turn went well.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A turn failed: the pause before the next.
    pub fn failed(&self) -> Duration {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        self.show(TrainerStatus { state: TrainingState::Failed, ..TrainerStatus::clone(&self.status()) });
        pause_after(failures)
    }

    /// The learner is left alone for so long, whatever is new of it.
    pub fn pause(&self, pause: Duration) {
        *lock(&self.paused_until) = Some(Instant::now() + pause);
    }

    /// Whether it is left alone.
    pub fn is_paused(&self) -> bool {
        lock(&self.paused_until).is_some_and(|until| Instant::now() < until)
    }
}

/// The pause after so many failures in a row before this one.
fn pause_after(failures: u32) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.pow(failures.min(10)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_failures_double_up_to_a_minute() {
        let seconds: Vec<u64> = (0..8).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
