//! Deleting a learner: gone at once, its rows after it.
//!
//! One small transaction takes the learner's name, stream and lease away and marks its number as deleted; from then on
//! nobody finds it and no trainer of it can write. Its rows, perhaps millions, go a limited number at once, on a task that
//! nobody waits for; what a stopped process leaves, the next one finds by the mark. Whoever deletes holds the mark's row, so
//! processes that find the same mark take turns, and the last of them takes it away.

use super::PostgresStore;
use super::retry::retried;
use crate::stream::{LearnerId, StoreError};
use crate::training::Change;

/// Rows that one transaction deletes.
const ROWS_AT_ONCE: i64 = 5_000;

/// What deletes a learner's rows, a limited number at once. Aliases come before the versions that they name.
const STEPS: [&str; 10] = [
    "DELETE FROM aliases WHERE learner_id = $1 AND $2::bigint > 0",
    "DELETE FROM alias_history WHERE ctid = ANY(ARRAY(SELECT ctid FROM alias_history WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM checkpoints WHERE learner_id = $1 AND $2::bigint > 0",
    "DELETE FROM versions WHERE ctid = ANY(ARRAY(SELECT ctid FROM versions WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM tickets WHERE ctid = ANY(ARRAY(SELECT ctid FROM tickets WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM idempotency_keys
     WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency_keys WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM journal WHERE ctid = ANY(ARRAY(SELECT ctid FROM journal WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM corrections WHERE ctid = ANY(ARRAY(SELECT ctid FROM corrections WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM examples WHERE ctid = ANY(ARRAY(SELECT ctid FROM examples WHERE learner_id = $1 LIMIT $2))",
    "DELETE FROM deleted_learners WHERE learner_id = $1 AND $2::bigint > 0",
];

impl PostgresStore {
    pub(super) async fn mark_deleted(&self, learner: LearnerId) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let there =
            sqlx::query("DELETE FROM learners WHERE id = $1").bind(learner.0).execute(&mut *transaction).await?;
        if there.rows_affected() == 0 {
            transaction.roll_back().await?;
            return Ok(false);
        }
        for statement in [
            "DELETE FROM streams WHERE learner_id = $1",
            "DELETE FROM leases WHERE learner_id = $1",
            "INSERT INTO deleted_learners (learner_id) VALUES ($1)",
        ] {
            sqlx::query(statement).bind(learner.0).execute(&mut *transaction).await?;
        }
        transaction.tell(Change::Learner(learner));
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes the rows of deleted learners on a task of its own. It ends early when the store is closed or fails.
    pub(super) fn delete_behind(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.delete_marked().await {
                tracing::info!(%error, "deleted learners' rows are left to the next start");
            }
        });
    }

    /// Deletes the rows of deleted learners and every blob that nothing names.
    pub(super) async fn delete_marked(&self) -> Result<(), StoreError> {
        let marked: Vec<i64> = sqlx::query_scalar("SELECT learner_id FROM deleted_learners ORDER BY learner_id")
            .fetch_all(&self.pool)
            .await?;
        for learner in marked {
            for step in STEPS {
                while retried!(self.delete_some(step, learner))? > 0 {}
            }
        }
        self.sweep_blobs().await
    }

    /// Rows that this step deleted; none if another process took the mark away meanwhile.
    async fn delete_some(&self, step: &'static str, learner: i64) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let mark = sqlx::query("SELECT 1 FROM deleted_learners WHERE learner_id = $1 FOR UPDATE")
            .bind(learner)
            .fetch_optional(&mut *transaction)
            .await?;
        if mark.is_none() {
            transaction.roll_back().await?;
            return Ok(0);
        }
        let gone = sqlx::query(step).bind(learner).bind(ROWS_AT_ONCE).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}
