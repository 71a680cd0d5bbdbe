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
mod journal;
mod learners;
mod leases;
mod open;
mod registry;
mod stream;
mod tickets;
mod training;
mod versions;
mod write;

#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;
use sqlx::SqlitePool;

use crate::stream::StoreError;
use crate::training::{ChangeSender, Changes, Store};
use write::WriteTransaction;

/// The store in one SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    /// One connection: whoever has it may write.
    writer: SqlitePool,
    /// Connections that only read.
    readers: SqlitePool,
    /// Where commits of this process are told. Another process on the same file is not heard.
    changes: ChangeSender,
}

impl SqliteStore {
    /// Opens the file, creating it and its folder if need be, and brings its tables up to date. What a stopped process
    /// left to be deleted goes on being deleted behind the caller's back.
    ///
    /// # Errors
    /// The file is no SQLite database, belongs to another program, was written by a newer version of this one, or
    /// cannot be opened; the text says which and names the path.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let store = open::open(path).await?;
        store.delete_behind();
        Ok(store)
    }

    async fn write(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(&self.writer, &self.changes).await
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
        let idle = |pool: &SqlitePool| u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let all = self.writer.size() + self.readers.size();
        let idle = idle(&self.writer) + idle(&self.readers);
        (all.saturating_sub(idle), idle)
    }

    async fn close(&self) {
        // The writer goes last: the last connection of a file folds its log into it.
        self.readers.close().await;
        self.writer.close().await;
    }
}
