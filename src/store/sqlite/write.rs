//! The one way to write: `BEGIN IMMEDIATE` on the one writing connection, and `COMMIT`.
//!
//! What is not committed never was: a transaction that ends in any other way (an error, a call that was dropped, a
//! `COMMIT` that failed) takes its connection with it, and SQLite rolls back what it had begun. A connection whose sync
//! failed is not used again. For the files of this folder alone.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::SqliteStore;
use super::presence::Presence;
use crate::stream::StoreError;
use crate::training::{Change, ChangeSender};

const BEGIN: &str = "BEGIN IMMEDIATE";

/// A transaction that holds the write lock.
pub(super) struct WriteTransaction {
    connection: PoolConnection<Sqlite>,
    over: bool,
    changes: ChangeSender,
    changed: Vec<Change>,
    presence: Arc<Presence>,
}

impl WriteTransaction {
    /// Waits for its turn, then for the write lock of the file.
    pub(super) async fn begin(store: &SqliteStore) -> Result<Self, StoreError> {
        Ok(Self::begin_reading(store, "").await?.0)
    }

    /// The same, and what a query without parameters finds inside the lock: on one way to the connection's thread.
    pub(super) async fn begin_reading(store: &SqliteStore, query: &str) -> Result<(Self, Vec<SqliteRow>), StoreError> {
        let statements = format!("{BEGIN}; {query}");
        let mut transaction = Self::on(store.writer.acquire().await?, store);
        match transaction.run(&statements).await {
            Ok(rows) => return Ok((transaction, rows)),
            Err(error) if !store.may_write_after(&error) => return Err(error.into()),
            Err(_) => drop(transaction),
        }
        store.reopen().await?;
        transaction = Self::on(store.writer.acquire().await?, store);
        let rows = transaction.run(&statements).await?;
        Ok((transaction, rows))
    }

    fn on(connection: PoolConnection<Sqlite>, store: &SqliteStore) -> Self {
        Self {
            connection,
            over: false,
            changes: store.changes.clone(),
            changed: Vec::new(),
            presence: store.presence.clone(),
        }
    }

    /// What is told once it is durable.
    pub(super) fn tell(&mut self, change: Change) {
        self.changed.push(change);
    }

    /// Makes it durable: when it returns `Ok`, the log is synced, and the file is the one that a restart finds.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.run("COMMIT").await?;
        self.over = true;
        self.presence.check()?;
        self.changed.drain(..).for_each(|change| self.changes.tell(change));
        Ok(())
    }

    /// Takes everything back and keeps the connection, for refusals that are nobody's fault.
    pub(super) async fn roll_back(mut self) -> Result<(), StoreError> {
        self.run("ROLLBACK").await?;
        self.over = true;
        Ok(())
    }

    async fn run(&mut self, statements: &str) -> Result<Vec<SqliteRow>, sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut *self.connection).await
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if !self.over {
            self.connection.close_on_drop();
        }
    }
}
