//! The one way to write: `BEGIN`, the statements, what is told, `COMMIT`.
//!
//! What is not committed never was: a transaction that ends in any other way (an error, a call that was dropped, a
//! `COMMIT` without an answer) takes its connection with it, and the server rolls back what it had begun. Whether a
//! `COMMIT` without an answer happened is not known here: the caller says [`StoreError::Unavailable`], and ids and
//! idempotency keys resolve it when the client comes again. For the files of this folder alone.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

use super::listen::CHANNEL;
use crate::stream::{LearnerId, StoreError};
use crate::training::Change;

/// A transaction that is under way.
pub(super) struct WriteTransaction {
    connection: PoolConnection<Postgres>,
    over: bool,
    changed: Vec<Change>,
}

impl WriteTransaction {
    /// Waits for a connection and begins. Every statement sees what was committed before it, and a row that it locks as
    /// it was committed last.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, StoreError> {
        let connection = pool.acquire().await?;
        let mut transaction = Self { connection, over: false, changed: Vec::new() };
        transaction.run("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        Ok(transaction)
    }

    /// What is told with the commit.
    pub(super) fn tell(&mut self, change: Change) {
        if !self.changed.contains(&change) {
            self.changed.push(change);
        }
    }

    /// Locks a learner against everything that changes it, its stream apart; `false` if there is no such learner.
    pub(super) async fn lock_learner(&mut self, learner: LearnerId) -> Result<bool, StoreError> {
        let locked = sqlx::query("SELECT 1 FROM learners WHERE id = $1 FOR UPDATE")
            .bind(learner.0)
            .fetch_optional(&mut *self.connection)
            .await?;
        Ok(locked.is_some())
    }

    /// Makes it durable: when it returns `Ok`, the log is synced.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if !self.changed.is_empty() {
            let told: Vec<String> = self.changed.iter().map(Change::to_string).collect();
            sqlx::query("SELECT pg_notify($1, change) FROM unnest($2::text[]) AS told (change)")
                .bind(CHANNEL)
                .bind(told)
                .execute(&mut *self.connection)
                .await?;
        }
        self.run("COMMIT").await?;
        self.over = true;
        Ok(())
    }

    /// Takes everything back and keeps the connection, for refusals that are nobody's fault.
    pub(super) async fn roll_back(mut self) -> Result<(), StoreError> {
        self.run("ROLLBACK").await?;
        self.over = true;
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(statement).execute(&mut *self.connection).await?;
        Ok(())
    }
}

impl Deref for WriteTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
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
