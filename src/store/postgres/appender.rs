//! The connection that appends, kept from one transaction to the next.
//!
//! A process appends one transaction at a time, many a second. A pool asks the server before and after each whether the
//! connection is still there, and hands out another one every time, whose session has no statement prepared and nothing at
//! hand. For the files of this folder alone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::session;
use crate::stream::StoreError;

/// One connection, and one more while a lost one is being closed.
const CONNECTIONS: u32 = 2;

/// Where the connection is kept; cheap to clone.
#[derive(Clone)]
pub(super) struct Appender {
    /// Makes it, as patiently as other connections are made.
    pool: PgPool,
    /// How long a call waits for its turn.
    wait: Duration,
    kept: Arc<Mutex<Option<PoolConnection<Postgres>>>>,
}

/// Where the connection is put after its turn, held until then; one that is not put there is made again for the next.
pub(super) type Place = OwnedMutexGuard<Option<PoolConnection<Postgres>>>;

impl Appender {
    /// It connects when it is used first.
    pub(super) fn new(options: PgConnectOptions, wait: Duration) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(wait)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    session::set_up(connection).await?;
                    session::keep_plans(connection).await
                })
            })
            .connect_lazy_with(options);
        Self { pool, wait, kept: Arc::default() }
    }

    /// Waits for the connection that was kept, or makes one.
    pub(super) async fn turn(&self) -> Result<(PoolConnection<Postgres>, Place), StoreError> {
        let place = tokio::time::timeout(self.wait, self.kept.clone().lock_owned()).await;
        let mut place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let connection = match place.take() {
            Some(kept) => kept,
            None => self.pool.acquire().await?,
        };
        Ok((connection, place))
    }

    /// Whether there is a connection, and whether it is in use.
    pub(super) fn used_and_idle(&self) -> (u32, u32) {
        self.kept.try_lock().map_or((1, 0), |kept| (0, kept.is_some().into()))
    }

    /// Ends the connection.
    pub(super) async fn close(&self) {
        drop(self.kept.lock().await.take());
        self.pool.close().await;
    }
}
