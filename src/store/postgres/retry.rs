//! Running a write again when the database took it back because of others.
//!
//! Locks are taken in one order, so this is for what that order does not see: other programs on the same tables, a server
//! whose isolation is stricter than asked for. For the files of this folder alone.

use std::time::Duration;

use crate::registry::AliasError;
use crate::stream::StoreError;
use crate::training::CreateError;

/// How often a write is run again.
const RETRIES: u32 = 6;

/// The longest first pause; each is at most twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// An error that may say that the write gave way to others.
pub(super) trait GaveWay {
    /// Whether the same write may succeed when it is run again.
    fn gave_way(&self) -> bool;
}

impl GaveWay for StoreError {
    fn gave_way(&self) -> bool {
        matches!(self, Self::Contended(_))
    }
}

impl GaveWay for CreateError {
    fn gave_way(&self) -> bool {
        matches!(self, Self::Store(error) if error.gave_way())
    }
}

impl GaveWay for AliasError {
    fn gave_way(&self) -> bool {
        matches!(self, Self::Store(error) if error.gave_way())
    }
}

/// The tries of one write.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to run it again, after a pause that no two writers share.
    pub(super) async fn again(&mut self, error: &impl GaveWay) -> bool {
        if !error.gave_way() || self.0 == RETRIES {
            return false;
        }
        let longest = FIRST_PAUSE * 2u32.pow(self.0);
        // A random number that is at hand: the last bytes of a version 4 UUID.
        let share = uuid::Uuid::new_v4().as_u128() as u32;
        tokio::time::sleep(longest.mul_f64(f64::from(share) / f64::from(u32::MAX))).await;
        self.0 += 1;
        true
    }
}

/// Evaluates a call, and again while it gave way to others and there are tries left.
macro_rules! retried {
    ($call:expr) => {{
        let mut tries = crate::store::postgres::retry::Tries::default();
        loop {
            match $call.await {
                Err(error) if tries.again(&error).await => {}
                outcome => break outcome,
            }
        }
    }};
}

pub(super) use retried;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_gives_way_is_run_again_and_not_for_ever() {
        let mut calls = 0;
        let outcome: Result<(), StoreError> = retried!(async {
            calls += 1;
            if calls < 4 { Err(StoreError::Contended("deadlock".into())) } else { Ok(()) }
        });
        assert!(outcome.is_ok() && calls == 4);
        let outcome: Result<(), StoreError> = retried!(async {
            calls += 1;
            Err(StoreError::Contended("deadlock".into()))
        });
        assert!(matches!(outcome, Err(StoreError::Contended(_))));
        assert_eq!(calls, 4 + 1 + RETRIES);
        let outcome: Result<(), StoreError> = retried!(async {
            calls += 1;
            Err(StoreError::Unavailable("gone".into()))
        });
        assert!(outcome.is_err());
        assert_eq!(calls, 4 + 1 + RETRIES + 1, "anything else is not run again");
    }
}
