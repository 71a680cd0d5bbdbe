//! [`FleetStore`] on Postgres: one look at every learner, from rows and indexes alone: no document is read.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use super::leases::lasting;
use super::retry::retried;
use crate::store::columns::Columns;
use crate::store::rows;
use crate::store::values::{bound, kept};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Change, Fence, FleetStore, Overview};

#[async_trait]
impl FleetStore for PostgresStore {
    async fn overview(&self, after: LearnerId, limit: usize) -> Result<Vec<Overview>, StoreError> {
        let found = sqlx::query(
            "SELECT id, name, revision, head, position, trained_seq, last_version, aliases.version AS live,
                    token, owner, expires_at, failure, retry_at, micros() AS at,
                    (SELECT count(*) FROM tickets WHERE tickets.learner_id = learners.id AND state = 'planned') AS orders
             FROM learners JOIN streams ON streams.learner_id = id
             LEFT JOIN checkpoints ON checkpoints.learner_id = id
             LEFT JOIN aliases ON aliases.learner_id = id AND alias = 'live'
             LEFT JOIN leases ON leases.learner_id = id
             WHERE learners.id > $1 ORDER BY learners.id LIMIT $2",
        )
        .bind(after.0)
        .bind(bound(limit))
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(|row| rows::overview(row, row.integer("at")?)).collect()
    }

    async fn fail_lease(&self, fence: Fence, kind: &str, pause: Duration) -> Result<(), StoreError> {
        let pause = time::Duration::try_from(pause).unwrap_or(time::Duration::MAX);
        retried!(self.give_back_failed(fence, kind, pause))
    }
}

impl PostgresStore {
    async fn give_back_failed(&self, fence: Fence, kind: &str, pause: time::Duration) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE leases SET owner = NULL, expires_at = 0, failure = $1, retry_at = micros() + $2
             WHERE learner_id = $3 AND token = $4 AND owner IS NOT NULL",
        )
        .bind(kind)
        .bind(lasting(pause))
        .bind(fence.learner.0)
        .bind(kept(fence.token)?)
        .execute(&mut *transaction)
        .await?;
        transaction.tell(Change::Lease(fence.learner));
        transaction.commit().await
    }
}
