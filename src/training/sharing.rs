//! How the processes that train share the learners, without speaking to each other.
//!
//! Whoever has least to do takes a free learner first, because it hesitates least: so learners spread, none waits for long
//! though everybody has enough to do, and nobody needs to know who else there is. A process with more to do than trainers
//! gives a learner back now and then; where nobody wants it, ever more rarely. Used by the supervisor alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::FleetConfig;
use crate::stream::LearnerId;

/// The longest hesitation, as a multiple of the time between two looks at the store.
const MOST_HESITATION: f64 = 10.0;
/// How much longer than at first it may take to give the next learner back.
const RAREST: u32 = 32;

/// Whom a process shares the learners with.
#[derive(Debug, Clone, PartialEq)]
pub enum Sharing {
    /// With nobody: no other process opens the store.
    Alone,
    /// With every process on the same store.
    Fleet(FleetConfig),
}

/// This process's part in the sharing.
pub(super) struct Share {
    sharing: Sharing,
    trainers: usize,
    giving: Mutex<Giving>,
}

/// When a learner is given back next.
struct Giving {
    at: Instant,
    rarer: u32,
    last: Option<LearnerId>,
}

impl Share {
    /// The part of a process that trains `trainers` learners at once.
    pub fn new(sharing: Sharing, trainers: usize) -> Self {
        let giving = Giving { at: Instant::now(), rarer: 1, last: None };
        Self { sharing, trainers: trainers.max(1), giving: Mutex::new(giving) }
    }

    /// Whether no other process opens the store.
    pub fn is_alone(&self) -> bool {
        self.sharing == Sharing::Alone
    }

    /// How long to hesitate before a free learner is taken while `busy` others have something to do here.
    pub fn hesitation(&self, busy: usize) -> Duration {
        match &self.sharing {
            Sharing::Alone => Duration::ZERO,
            Sharing::Fleet(fleet) => {
                let load = busy as f64 / self.trainers as f64;
                Duration::from_millis(fleet.poll_ms).mul_f64(load.min(MOST_HESITATION))
            }
        }
    }

    /// Whether a learner that has had nothing to do since then is to be given back.
    pub fn has_rested(&self, since: Instant) -> bool {
        match &self.sharing {
            Sharing::Alone => false,
            Sharing::Fleet(fleet) => since.elapsed() >= Duration::from_secs(fleet.idle_seconds),
        }
    }

    /// Whether it is time to give one of `busy` learners back, asked at every look at the store; `taken` says whether
    /// another process has taken a learner.
    pub fn is_time_to_give(&self, busy: usize, taken: impl Fn(LearnerId) -> bool) -> bool {
        let Sharing::Fleet(fleet) = &self.sharing else { return false };
        let mut giving = self.giving();
        let period = Duration::from_secs(fleet.share_seconds.max(1));
        if busy <= self.trainers {
            giving.at = Instant::now() + period;
            giving.rarer = 1;
            giving.last = None;
            return false;
        }
        if let Some(last) = giving.last
            && taken(last)
        {
            giving.last = None;
            giving.rarer = 1;
        }
        Instant::now() >= giving.at
    }

    /// This learner is given back.
    pub fn gave(&self, learner: LearnerId) {
        let Sharing::Fleet(fleet) = &self.sharing else { return };
        let mut giving = self.giving();
        if giving.last.is_some() {
            // Nobody wanted the one before.
            giving.rarer = (giving.rarer * 2).min(RAREST);
        }
        giving.last = Some(learner);
        giving.at = Instant::now() + Duration::from_secs(fleet.share_seconds.max(1)) * giving.rarer;
    }

    fn giving(&self) -> MutexGuard<'_, Giving> {
        self.giving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(share_seconds: u64) -> Share {
        let config = FleetConfig { poll_ms: 400, idle_seconds: 0, share_seconds, ..FleetConfig::default() };
        Share::new(Sharing::Fleet(config), 2)
    }

    #[test]
    fn whoever_has_less_to_do_hesitates_less() {
        let share = fleet(10);
        assert_eq!(share.hesitation(0), Duration::ZERO);
        assert_eq!(share.hesitation(1), Duration::from_millis(200));
        assert_eq!(share.hesitation(4), Duration::from_millis(800));
        assert_eq!(share.hesitation(1_000), Duration::from_secs(4));
    }

    #[test]
    fn a_process_alone_takes_all_at_once_and_gives_nothing_back() {
        let share = Share::new(Sharing::Alone, 1);
        assert_eq!(share.hesitation(100), Duration::ZERO);
        assert!(!share.has_rested(Instant::now()));
        assert!(!share.is_time_to_give(100, |_| true));
    }

    #[test]
    fn only_whoever_has_more_to_do_than_trainers_gives_back_and_rarely_what_nobody_wants() {
        let share = fleet(3_600);
        share.giving().at = Instant::now();
        assert!(!share.is_time_to_give(2, |_| false), "two trainers have two learners");
        share.giving().at = Instant::now();
        assert!(share.is_time_to_give(3, |_| false));
        share.gave(LearnerId(1));
        assert!(!share.is_time_to_give(3, |_| false), "the next one comes later");
        assert_eq!(share.giving().rarer, 1);
        share.gave(LearnerId(2));
        share.gave(LearnerId(3));
        assert_eq!(share.giving().rarer, 4, "nobody wanted two of them");
        assert!(!share.is_time_to_give(3, |learner| learner == LearnerId(3)));
        assert_eq!(share.giving().rarer, 1, "somebody took the last");
    }
}
