//! From what a database says to what the traits say. For the stores alone.

use std::fmt::Display;

use crate::stream::StoreError;

/// How Postgres says that a transaction was taken back because of others: it may be run again as it is.
const GAVE_WAY: [&str; 2] = ["40001", "40P01"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        let gave_way = code.is_some_and(|code| GAVE_WAY.contains(&&*code));
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection became free in time".into()),
            error if gave_way => Self::Contended(error.to_string()),
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
