//! What happens on a connection beside its bytes: an action that works on a long request says so, and the connection stays.
//!
//! A connection on which nothing was written for a while is closed ([`mod@super::serve`]); a long upload writes nothing until its
//! answer. Only what makes progress may touch it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// When something last happened; cheap to clone.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    /// Something happens now.
    pub fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When something last happened.
    pub fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}
