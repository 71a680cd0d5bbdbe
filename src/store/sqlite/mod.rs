//! SQLite in one file: WAL, `synchronous=FULL`, one writing connection, many reading ones.
//!
//! Every write is one short `BEGIN IMMEDIATE` transaction ([`mod@write`]); every check that decides about a write (a fence,
//! a duplicate, a complete blob) is made inside it. SQL stands beside the code that runs it, one file for each subject.
//! Two processes may open the same file: SQLite's lock orders their writes, leases keep their trainers apart.

mod alias_history;
mod aliases;
mod append;
mod blobs;
mod commit;
mod corrections;
mod deletion;
mod examples;
mod fleet;
mod journal;
mod learners;
mod leases;
pub(in crate::store) mod migrate;
mod open;
mod presence;
mod registry;
mod reopen;
mod rest;
mod sole;
mod stream;
mod sweep;
mod tickets;
mod training;
mod versions;
mod write;

#[cfg(test)]
mod object_tests;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::StoreOptions;
use super::objects::Places;
use crate::store::pool_counts::used_and_idle;
use crate::stream::StoreError;
use crate::training::{ChangeSender, Changes, Store};
pub(in crate::store) use open::connection;
use presence::Presence;
use write::WriteTransaction;

pub use sole::SoleProcess;

/// The store in one SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    /// One connection: whoever has it may write.
    writer: SqlitePool,
    /// Connections that only read.
    readers: SqlitePool,
    /// One connection that folds the log into the file ([`mod@rest`]).
    rester: SqlitePool,
    log: Arc<Path>,
    /// Where commits of this process are told. Another process on the same file is not heard.
    changes: ChangeSender,
    /// What a commit must still find under the file's name.
    presence: Arc<Presence>,
    /// Where blobs lie that are not in the file.
    places: Arc<Places>,
}

impl SqliteStore {
    /// Opens the file with the usual options: [`SqliteStore::open_with`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, &StoreOptions::default()).await
    }

    /// Opens the file, creating it and its folder if need be, and brings its tables up to date. What a stopped process
    /// left to be deleted goes on being deleted behind the caller's back.
    ///
    /// # Errors
    /// The file is no SQLite database, belongs to another program, was written by a newer version of this one, lacks
    /// migrations that the options do not allow, or cannot be opened; the text says which and names the path. Or the place
    /// for blobs cannot be used.
    pub async fn open_with(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let store = open::open(path, options).await?;
        store.delete_behind();
        Ok(store)
    }

    /// Opens a file to look at it, also while a server has it open: nothing in it is changed, and every write fails.
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`]; a file that is not there, or whose tables are of an older version.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        open::open_to_read(path).await
    }

    async fn write(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(self).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT id FROM learners LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(())
    }

    fn changes(&self) -> Changes {
        self.changes.follow()
    }

    fn connections(&self) -> (u32, u32) {
        let count = |pool: &SqlitePool| used_and_idle(pool.size(), pool.num_idle());
        let (writer, readers) = (count(&self.writer), count(&self.readers));
        (writer.0.saturating_add(readers.0), writer.1.saturating_add(readers.1))
    }

    async fn close(&self) {
        // The writer goes last: the last connection of a file folds its log into it.
        self.readers.close().await;
        self.rester.close().await;
        self.writer.close().await;
    }
}
