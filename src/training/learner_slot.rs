//! A learner's place in the supervisor: its status for readers, and its trainer while it is in memory.
//!
//! The trainer is locked for the whole of a turn; everything else is read without waiting for it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::status::{TrainerStatus, TrainingState};
use super::store::Fence;
use super::trainer::Trainer;
use crate::stream::{LearnerId, LearnerName};

/// The pause after a first failure, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A learner that this process trains.
pub(super) struct LearnerSlot {
    pub learner: LearnerId,
    pub name: LearnerName,
    status: ArcSwap<TrainerStatus>,
    trainer: Mutex<Option<Box<Trainer>>>,
    /// The lease that the trainer in memory holds.
    fence: Mutex<Option<Fence>>,
    /// Set when the learner is deleted.
    pub removed: AtomicBool,
    /// Set when the lease was lost between turns.
    pub lease_lost: AtomicBool,
    failures: AtomicU32,
    /// No turn before: the newest one failed.
    rests_until: Mutex<Option<Instant>>,
}

impl LearnerSlot {
    /// A learner without a trainer in memory.
    pub fn new(learner: LearnerId, name: LearnerName, status: TrainerStatus) -> Self {
        Self {
            learner,
            name,
            status: ArcSwap::from_pointee(status),
            trainer: Mutex::new(None),
            fence: Mutex::new(None),
            removed: AtomicBool::new(false),
            lease_lost: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            rests_until: Mutex::new(None),
        }
    }

    /// The newest snapshot.
    pub fn status(&self) -> Arc<TrainerStatus> {
        self.status.load_full()
    }

    /// A new snapshot.
    pub fn show(&self, status: TrainerStatus) {
        self.status.store(Arc::new(status));
    }

    /// The trainer; waits for the end of a turn.
    pub fn trainer(&self) -> MutexGuard<'_, Option<Box<Trainer>>> {
        self.trainer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trainer, unless a turn is under way.
    pub fn resting_trainer(&self) -> Option<MutexGuard<'_, Option<Box<Trainer>>>> {
        self.trainer.try_lock().ok()
    }

    /// Which lease is to be renewed.
    pub fn fence(&self) -> Option<Fence> {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which lease is held.
    pub fn set_fence(&self, fence: Option<Fence>) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = fence;
    }

    /// A turn went well.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A turn failed: the pause before the next.
    pub fn failed(&self) -> Duration {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        self.show(TrainerStatus { state: TrainingState::Failed, ..TrainerStatus::clone(&self.status()) });
        let pause = pause_after(failures);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
        pause
    }

    /// Whether the newest turn failed and its pause is not over. Rows that come meanwhile wait: a trainer that cannot do
    /// anything must not be loaded again with every commit.
    pub fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// The pause after so many failures in a row before this one.
fn pause_after(failures: u32) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.pow(failures.min(10)))
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
