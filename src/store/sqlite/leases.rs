//! The table of leases, and the fence that every write of a trainer passes.
//!
//! A token belongs to one holding of one lease and is never given again; a holder that was overtaken, or gave the lease
//! back, can write nothing more. An expired lease that nobody took is still its holder's: expiry only allows others to
//! take it.

use sqlx::SqliteConnection;
use time::Duration;

use super::SqliteStore;
use crate::store::values::{kept, later, now, number};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Change, Fence};

impl SqliteStore {
    pub(super) async fn take_lease(
        &self,
        learner: LearnerId,
        owner: &str,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        let at = now();
        let mut transaction = self.write().await?;
        let token: Option<i64> = sqlx::query_scalar(
            "INSERT INTO leases (learner_id, owner, token, expires_at) SELECT id, ?2, 1, ?3 FROM learners WHERE id = ?1
             ON CONFLICT (learner_id) DO UPDATE
             SET owner = excluded.owner, token = token + 1, expires_at = excluded.expires_at, failure = NULL, retry_at = 0
             WHERE leases.owner IS NULL OR leases.owner = excluded.owner OR leases.expires_at <= ?4
             RETURNING token",
        )
        .bind(learner.0)
        .bind(owner.to_owned())
        .bind(later(at, lasts))
        .bind(at)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        token
            .map(|token| {
                let token = number(token, format_args!("the lease of learner {}", learner.0))?;
                Ok(Fence { learner, token })
            })
            .transpose()
    }

    pub(super) async fn prolong_lease(&self, fence: Fence, lasts: Duration) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let held =
            sqlx::query("UPDATE leases SET expires_at = ? WHERE learner_id = ? AND token = ? AND owner IS NOT NULL")
                .bind(later(now(), lasts))
                .bind(fence.learner.0)
                .bind(kept(fence.token)?)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        if held.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    pub(super) async fn give_lease_back(&self, fence: Fence) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE leases SET owner = NULL, expires_at = 0 WHERE learner_id = ? AND token = ?")
            .bind(fence.learner.0)
            .bind(kept(fence.token)?)
            .execute(&mut *transaction)
            .await?;
        transaction.tell(Change::Lease(fence.learner));
        transaction.commit().await
    }
}

/// Whether this fence is the newest of its learner and still held; asked inside the transaction that it guards.
pub(super) async fn holds(connection: &mut SqliteConnection, fence: Fence) -> Result<bool, StoreError> {
    let held = sqlx::query("SELECT 1 FROM leases WHERE learner_id = ? AND token = ? AND owner IS NOT NULL")
        .bind(fence.learner.0)
        .bind(kept(fence.token)?)
        .fetch_optional(connection)
        .await?;
    Ok(held.is_some())
}
