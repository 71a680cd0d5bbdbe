//! Folding the write-ahead log into the file, in the writer's idle time.
//!
//! A commit only appends to the log. Left alone SQLite would fold the log inside a commit, which then waits for two more syncs
//! and for every page to be written; here a connection of its own does it beside commits and readers, and gives way to
//! both. Once all of the log is folded the next commit begins it anew, unless a reader still looks into it: so no reader may
//! look long, and every read of this folder is one short statement, or many.

use sqlx::Row as _;

use super::SqliteStore;
use crate::stream::{Rested, StoreError};

/// A log of more bytes than this is cut off once it is folded, so that the file system has the room back.
const LARGE: u64 = 32 << 20;

impl SqliteStore {
    /// Folds what is in the log, as far as readers allow.
    pub(super) async fn fold_log(&self) -> Result<Rested, StoreError> {
        let mut connection = self.rester.acquire().await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *connection).await?;
        let (logged, folded): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        if logged == folded && self.log_bytes().await > LARGE {
            // It is busy rather than late where somebody reads or writes; the next rest comes soon.
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        }
        Ok(Rested { log_bytes: self.log_bytes().await })
    }

    async fn log_bytes(&self) -> u64 {
        tokio::fs::metadata(&self.log).await.map_or(0, |log| log.len())
    }
}
