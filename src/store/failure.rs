//! From what a database says to what the traits say. For the stores alone.

use std::fmt::Display;

use crate::stream::StoreError;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Work on a thread of its own did not come to its end: it panicked, or the runtime is stopping.
pub(super) fn broken_off(error: tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(format!("work of the store was broken off: {error}"))
}

/// A row cannot be read: `what` names it by its ids, `reason` quotes nothing of it.
pub(super) fn damaged(what: impl Display, reason: impl Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {reason}"))
}
