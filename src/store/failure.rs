//! From what a database says to what the traits say. For the stores alone.

use std::fmt::Display;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

use crate::stream::StoreError;

/// How Postgres says that a transaction was taken back because of others: it may be run again as it is.
const GAVE_WAY: [&str; 2] = ["40001", "40P01"];

/// How Postgres says that the disk is full, and that a page or an index of its files is damaged.
const DISK_FULL: &str = "53100";
const DATA_CORRUPTED: [&str; 2] = ["XX001", "XX002"];

const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// The index of the log, which connections share, has no room to grow.
const SQLITE_IOERR_SHMSIZE: &str = "4874";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(text),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection to the database came about in time".into()),
            error if has_code(&error, &GAVE_WAY) => Self::Contended(text),
            error if is_full(&error) => Self::Full(text),
            error if is_damage(&error) => Self::Damaged(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// Whether a database says one of these.
pub(super) fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&&*code))
}

/// Whether there is no room left: on the disk, or in the file as far as it may grow.
fn is_full(error: &sqlx::Error) -> bool {
    sqlite_code(error) == Some(SQLITE_FULL) || has_code(error, &[DISK_FULL, SQLITE_IOERR_SHMSIZE])
}

/// Whether a page of the database's files is no longer what it was.
fn is_damage(error: &sqlx::Error) -> bool {
    matches!(sqlite_code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB)) || has_code(error, &DATA_CORRUPTED)
}

/// What SQLite calls its failure, without what the upper bits add to it; `None` if it is none of SQLite's.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    Some(DatabaseError::code(error)?.parse::<i32>().ok()? & 0xff)
}

/// Work on a thread of its own did not come to its end: it panicked, or the runtime is stopping.
pub(super) fn broken_off(error: tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(format!("work of the store was broken off: {error}"))
}

/// A row cannot be read: `what` names it by its ids, `reason` quotes nothing of it.
pub(super) fn damaged(what: impl Display, reason: impl Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {reason}"))
}
