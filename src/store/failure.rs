//! From what a database says to what the traits say. For the stores alone.

use std::fmt::Display;

use sqlx::sqlite::SqliteError;

use crate::stream::StoreError;

const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// The index of the log, which connections share, has no room to grow.
const SQLITE_IOERR_SHMSIZE: &str = "4874";

/// What SQLite calls its failure, without what the upper bits add to it; `None` if it is none of SQLite's.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    Some(sqlite_error(error)?.parse::<i32>().ok()? & 0xff)
}

fn sqlite_error(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    sqlx::error::DatabaseError::code(error).map(|code| code.into_owned())
}

/// Whether there is no room left: on the disk, or in the file as far as it may grow.
fn is_full(error: &sqlx::Error) -> bool {
    sqlite_code(error) == Some(SQLITE_FULL) || sqlite_error(error).as_deref() == Some(SQLITE_IOERR_SHMSIZE)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(error.to_string()),
            error if is_full(&error) => Self::Full(error.to_string()),
            error if matches!(sqlite_code(&error), Some(SQLITE_CORRUPT | SQLITE_NOTADB)) => {
                Self::Damaged(error.to_string())
            }
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
