//! Which trainers are in memory, in the order of their newest turns.
//!
//! Beyond [`MOST_RESIDENTS`] the ones idle for longest are put away, and those that still wait for a turn lose the rows that
//! they hold: both come back from the store. Used by the supervisor's threads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stream::LearnerId;

/// Trainers that stay in memory with all that they hold.
pub(super) const MOST_RESIDENTS: usize = 8;

/// The learners whose trainers are in memory, the one with the newest turn last.
#[derive(Default)]
pub(super) struct Residents(Mutex<VecDeque<LearnerId>>);

impl Residents {
    /// A learner had a turn; those that are now too many, oldest turn first.
    pub fn touch(&self, learner: LearnerId) -> Vec<LearnerId> {
        let mut residents = self.lock();
        residents.retain(|&other| other != learner);
        residents.push_back(learner);
        let surplus = residents.len().saturating_sub(MOST_RESIDENTS);
        residents.iter().take(surplus).copied().collect()
    }

    /// A trainer left memory.
    pub fn remove(&self, learner: LearnerId) {
        self.lock().retain(|&other| other != learner);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LearnerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learners_with_the_oldest_turns_are_too_many_first() {
        let residents = Residents::default();
        for id in 0..MOST_RESIDENTS as i64 {
            assert!(residents.touch(LearnerId(id)).is_empty());
        }
        assert!(residents.touch(LearnerId(0)).is_empty());
        assert_eq!(residents.touch(LearnerId(100)), [LearnerId(1)]);
        residents.remove(LearnerId(1));
        assert!(residents.touch(LearnerId(2)).is_empty());
    }
}
