//! Postgres, for one process or many on the same database.
//!
//! Every write is one short transaction ([`mod@write`]); every check that decides about a write (a fence, a duplicate, a
//! complete blob) is made inside it, under a lock of the row that it looks at. Rows are locked in this order, so that
//! writers wait for each other and never in a circle: `learners`, `streams` (in order of learner), `leases`, everything
//! else. What is told to followers is notified in the transaction that it tells of, and comes back to all processes alike
//! through one listening connection each ([`listen`]). SQL stands beside the code that runs it, one file for each subject.

mod alias_history;
mod aliases;
mod append;
mod appender;
mod blobs;
mod commit;
mod corrections;
mod deletion;
mod examples;
mod fleet;
mod journal;
mod learners;
mod leases;
mod listen;
pub(in crate::store) mod migrate;
mod open;
mod registry;
mod retry;
mod session;
mod stream;
mod sweep;
mod tickets;
mod training;
mod versions;
mod write;

#[cfg(test)]
pub(in crate::store) mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;

pub use open::PostgresOptions;
pub(in crate::store) use open::connection;

use super::StoreOptions;
use super::objects::Places;
use crate::store::pool_counts::used_and_idle;
use crate::stream::StoreError;
use crate::training::{ChangeSender, Changes, Store};
use appender::Appender;
use listen::Listening;
use write::WriteTransaction;

/// The store in a Postgres database. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    appender: Appender,
    /// Where what the listener hears is told: commits of all processes, this one's too.
    changes: ChangeSender,
    listening: Arc<Listening>,
    /// Where blobs lie that are not in the database.
    places: Arc<Places>,
}

impl PostgresStore {
    /// Opens with the usual options: [`PostgresStore::open_with`].
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        Self::open_with(options, &StoreOptions::default()).await
    }

    /// Connects, waiting for a while for a server that does not answer yet, and brings the tables up to date. What a
    /// stopped process left to be deleted goes on being deleted behind the caller's back.
    ///
    /// # Errors
    /// The server cannot be reached, keeps nothing safe (`fsync` off, a standby), or the database belongs to another
    /// program or to a newer version of this one; the text says which and names the database, never the password.
    pub async fn open_with(options: &PostgresOptions, store: &StoreOptions) -> Result<Self, StoreError> {
        let store = open::open(options, store).await?;
        store.delete_behind();
        Ok(store)
    }

    async fn write(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(&self.pool).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT id FROM learners LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    fn changes(&self) -> Changes {
        self.changes.follow()
    }

    fn connections(&self) -> (u32, u32) {
        let (used, idle) = used_and_idle(self.pool.size(), self.pool.num_idle());
        let (appends, waits) = self.appender.used_and_idle();
        (used + appends, idle + waits)
    }

    async fn close(&self) {
        self.listening.end().await;
        self.appender.close().await;
        self.pool.close().await;
    }
}
