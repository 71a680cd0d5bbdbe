//! The idempotency keys of requests in progress: the same key twice at once is a conflict, not a second write.
//!
//! Used by the writer alone; what was answered before is the store's to remember.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stream::ids::LearnerId;

type Key = (LearnerId, String);

/// The keys that are claimed; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct KeysInProgress(Arc<Mutex<HashSet<Key>>>);

/// A claimed key; free again when dropped.
pub struct Claim {
    keys: KeysInProgress,
    key: Key,
}

impl KeysInProgress {
    /// Claims a learner's key; `None` if it is claimed already.
    pub fn claim(&self, learner: LearnerId, key: &str) -> Option<Claim> {
        let key = (learner, key.to_owned());
        let is_free = self.lock().insert(key.clone());
        is_free.then(|| Claim { keys: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_for_each_learner_until_it_is_dropped() {
        let keys = KeysInProgress::default();
        let claim = keys.claim(LearnerId(1), "a");
        assert!(claim.is_some());
        assert!(keys.claim(LearnerId(1), "a").is_none());
        assert!(keys.claim(LearnerId(1), "b").is_some());
        assert!(keys.claim(LearnerId(2), "a").is_some());
        drop(claim);
        assert!(keys.claim(LearnerId(1), "a").is_some());
    }
}
