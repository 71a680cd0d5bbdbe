//! Looking after a whole database of either kind: its migrations, backups, restores, and whether it is sound.
//!
//! Works beside a server that serves and writes: what is read is one snapshot or short looks, and what is written is
//! whole or not there. Nothing here is a store; the tables are read and copied as they stand, so that what one migration
//! adds is in the next backup. Called by `cli`.

mod backup;
mod copy;
mod database;
mod objects;
mod raw;
mod restore;
mod tables;
mod verify;

#[cfg(test)]
mod tests;

pub use backup::{BackupReport, Existing, backup};
pub use database::Database;
pub use restore::{RestoreReport, restore};
pub use verify::{Depth, LearnerReport, Loads, Report, TableReport, Verifier, verify};

use crate::stream::StoreError;

/// Is told what is being done and how far it is.
pub type Progress<'a> = &'a (dyn Fn(&str, u64) + Send + Sync);

/// Why a database could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// It is not what it has to be; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A file could not be read or written.
    #[error("{what}: {source}")]
    File {
        /// Which, and what for.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The copy is not sound; each fault is named.
    #[error("{what} is not sound: {}", faults.join("; "))]
    Faulty {
        /// Which copy.
        what: String,
        /// What is wrong with it.
        faults: Vec<String>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MaintenanceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A failure of a file, for `map_err`.
fn file(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> MaintenanceError {
    move |source| MaintenanceError::File { what: what.to_string(), source }
}
