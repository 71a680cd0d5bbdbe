//! The one way to write: `BEGIN`, the statements, what is told, `COMMIT`.
//!
//! What is not committed never was: a transaction that ends in any other way (an error, a call that was dropped, a
//! `COMMIT` without an answer) takes its connection with it, and the server rolls back what it had begun. Whether a
//! `COMMIT` without an answer happened is not known here: the caller says [`StoreError::Unavailable`], and ids and
//! idempotency keys resolve it when the client comes again. For the files of this folder alone.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};

use super::appender::{Appender, Place};
use super::listen::CHANNEL;
use crate::store::failure::has_code;
use crate::stream::{LearnerId, StoreError};
use crate::training::Change;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

const UNDER_WAY: &str = "whoever ends a transaction gives it away";

/// A transaction that is under way.
pub(super) struct WriteTransaction {
    /// `None` once it is over.
    connection: Option<PoolConnection<Postgres>>,
    /// Where the connection is kept afterwards; `None`: it goes back to its pool.
    place: Option<Place>,
    changed: Vec<Change>,
}

impl WriteTransaction {
    /// Waits for a connection and begins. Every statement sees what was committed before it, and a row that it locks as
    /// it was committed last.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, StoreError> {
        let mut transaction = Self { connection: Some(pool.acquire().await?), place: None, changed: Vec::new() };
        transaction.run(BEGIN).await?;
        Ok(transaction)
    }

    /// The same on the connection that appends, and what a query without parameters finds: on one way to the server.
    pub(super) async fn begin_appending(appender: &Appender, query: &str) -> Result<(Self, Vec<PgRow>), StoreError> {
        let statements = format!("{BEGIN}; {query}");
        let mut transaction = Self::appending(appender).await?;
        let rows = match transaction.run(&statements).await {
            // It was kept while the server ended it: nothing is lost yet.
            Err(error) if is_lost(&error) => {
                drop(transaction);
                transaction = Self::appending(appender).await?;
                transaction.run(&statements).await?
            }
            outcome => outcome?,
        };
        Ok((transaction, rows))
    }

    async fn appending(appender: &Appender) -> Result<Self, StoreError> {
        let (connection, place) = appender.turn().await?;
        Ok(Self { connection: Some(connection), place: Some(place), changed: Vec::new() })
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
            .fetch_optional(&mut **self)
            .await?;
        Ok(locked.is_some())
    }

    /// Makes it durable: when it returns `Ok`, the log is synced.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        // A change is a word, a colon and a number: nothing in it needs to be quoted.
        let told = self.changed.iter().map(|change| format!("NOTIFY {CHANNEL}, '{change}'; "));
        let statements = told.chain(["COMMIT".into()]).collect::<String>();
        self.run(&statements).await?;
        self.keep();
        Ok(())
    }

    /// Takes everything back and keeps the connection, for refusals that are nobody's fault.
    pub(super) async fn roll_back(mut self) -> Result<(), StoreError> {
        self.run("ROLLBACK").await?;
        self.keep();
        Ok(())
    }

    async fn run(&mut self, statements: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut **self).await
    }

    /// It is over, and its connection as good as before.
    fn keep(&mut self) {
        let connection = self.connection.take();
        if let Some(place) = &mut self.place {
            **place = connection;
        }
    }
}

/// Whether the connection is gone, or going: then nothing that was sent on it last has happened unless it was a `COMMIT`.
fn is_lost(error: &sqlx::Error) -> bool {
    const ENDED_BY_THE_SERVER: [&str; 4] = ["57P01", "57P02", "57P03", "57P05"];
    matches!(error, sqlx::Error::Io(_)) || has_code(error, &ENDED_BY_THE_SERVER)
}

impl Deref for WriteTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(UNDER_WAY)
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(UNDER_WAY)
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}
