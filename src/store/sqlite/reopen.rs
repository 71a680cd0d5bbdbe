//! Getting over having been opened to read alone.
//!
//! A file that may not be written when it is opened is opened to read, and SQLite holds to that as long as the process has
//! any connection to it: the log's index, which they share, was mapped to read. So when the file may be written all of them
//! are closed together, and those that are opened next may write. Called by [`super::write`] alone.

use std::path::Path;

use futures_util::future::join_all;
use rustix::fs::{Access, access};
use sqlx::pool::PoolConnection;

use super::SqliteStore;
use super::open::{READERS, SQLITE_READONLY};
use crate::store::failure::sqlite_code;
use crate::stream::StoreError;

impl SqliteStore {
    /// Whether a write failed because the file had been opened to read, and may be written by now.
    pub(super) fn may_write_after(&self, error: &sqlx::Error) -> bool {
        // Asked, and not tried: whoever closes a file gives up the locks that its process has on it.
        let may_write = |file: &Path| access(file, Access::WRITE_OK).is_ok();
        sqlite_code(error) == Some(SQLITE_READONLY) && may_write(self.presence.file()) && may_write(&self.log)
    }

    /// Closes every connection; reads and writes wait meanwhile.
    pub(super) async fn reopen(&self) -> Result<(), StoreError> {
        let mut connections = vec![self.writer.acquire().await?, self.rester.acquire().await?];
        for _ in 0..READERS {
            connections.push(self.readers.acquire().await?);
        }
        // Where a reader comes in between, the file stays as it was, and the next write tries again.
        join_all(connections.into_iter().map(PoolConnection::close)).await;
        tracing::info!(file = %self.presence.file().display(), "the database may be written: it was opened again");
        Ok(())
    }
}
