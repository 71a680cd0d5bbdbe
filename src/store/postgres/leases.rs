//! The table of leases, and the fence that every write of a trainer passes.
//!
//! A token belongs to one holding of one lease and is never given again; a holder that was overtaken, or gave the lease
//! back, can write nothing more. An expired lease that nobody took is still its holder's: expiry only allows others to
//! take it. Time is the database's, so the clocks of processes do not matter.

use time::Duration;

use super::PostgresStore;
use super::write::WriteTransaction;
use crate::store::values::{kept, later, number};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Change, Fence};

impl PostgresStore {
    pub(super) async fn take_lease(
        &self,
        learner: LearnerId,
        owner: &str,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        let mut transaction = self.write().await?;
        // The learner's row is held, so that it is not deleted between the look at it and the lease.
        let token: Option<i64> = sqlx::query_scalar(
            "INSERT INTO leases (learner_id, owner, token, expires_at)
             SELECT id, $2, 1, micros() + $3 FROM learners WHERE id = $1 FOR KEY SHARE
             ON CONFLICT (learner_id) DO UPDATE
             SET owner = excluded.owner, token = leases.token + 1, expires_at = excluded.expires_at
             WHERE leases.owner IS NULL OR leases.owner = excluded.owner OR leases.expires_at <= micros()
             RETURNING token",
        )
        .bind(learner.0)
        .bind(owner)
        .bind(lasting(lasts))
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
        let held = sqlx::query(
            "UPDATE leases SET expires_at = micros() + $1 WHERE learner_id = $2 AND token = $3 AND owner IS NOT NULL",
        )
        .bind(lasting(lasts))
        .bind(fence.learner.0)
        .bind(kept(fence.token)?)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        if held.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    pub(super) async fn give_lease_back(&self, fence: Fence) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE leases SET owner = NULL, expires_at = 0 WHERE learner_id = $1 AND token = $2")
            .bind(fence.learner.0)
            .bind(kept(fence.token)?)
            .execute(&mut *transaction)
            .await?;
        transaction.tell(Change::Lease(fence.learner));
        transaction.commit().await
    }
}

/// Microseconds to add to a time of this century without leaving the column.
fn lasting(lasts: Duration) -> i64 {
    later(0, lasts).min(i64::MAX / 2)
}

/// Whether this fence is the newest of its learner and still held; asked inside the transaction that it guards. The lease
/// stays locked until that transaction ends: nobody takes it before what it guards is committed or never was.
pub(super) async fn holds(transaction: &mut WriteTransaction, fence: Fence) -> Result<bool, StoreError> {
    let held =
        sqlx::query("SELECT 1 FROM leases WHERE learner_id = $1 AND token = $2 AND owner IS NOT NULL FOR UPDATE")
            .bind(fence.learner.0)
            .bind(kept(fence.token)?)
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(held.is_some())
}
