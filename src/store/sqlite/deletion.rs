//! Deleting a learner: gone at once, its rows after it.
//!
//! One small transaction takes the learner's name, stream and lease away and marks its number as deleted; from then on
//! nobody finds it and no trainer of it can write. Its rows, perhaps millions, go in transactions that no ingest commit
//! waits long for, on a task that nobody waits for; what a stopped process leaves, the next one finds by the mark.

use super::SqliteStore;
use crate::stream::{LearnerId, StoreError};
use crate::training::Change;

/// Rows that one transaction deletes.
const ROWS_AT_ONCE: i64 = 500;

/// What deletes a learner's rows, a limited number at once. Aliases come before the versions that they name.
const STEPS: [&str; 10] = [
    "DELETE FROM aliases WHERE learner_id = ?1 AND ?2 > 0",
    "DELETE FROM alias_history WHERE rowid IN (SELECT rowid FROM alias_history WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM checkpoints WHERE learner_id = ?1 AND ?2 > 0",
    "DELETE FROM versions WHERE rowid IN (SELECT rowid FROM versions WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM tickets WHERE rowid IN (SELECT rowid FROM tickets WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM idempotency_keys WHERE rowid IN (SELECT rowid FROM idempotency_keys WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM journal WHERE rowid IN (SELECT rowid FROM journal WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM corrections WHERE rowid IN (SELECT rowid FROM corrections WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM examples WHERE rowid IN (SELECT rowid FROM examples WHERE learner_id = ?1 LIMIT ?2)",
    "DELETE FROM deleted_learners WHERE learner_id = ?1 AND ?2 > 0",
];

impl SqliteStore {
    pub(super) async fn mark_deleted(&self, learner: LearnerId) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let there = sqlx::query("DELETE FROM learners WHERE id = ?").bind(learner.0).execute(&mut *transaction).await?;
        if there.rows_affected() == 0 {
            transaction.roll_back().await?;
            return Ok(false);
        }
        for statement in [
            "DELETE FROM streams WHERE learner_id = ?",
            "DELETE FROM leases WHERE learner_id = ?",
            "INSERT INTO deleted_learners (learner_id) VALUES (?)",
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
            .fetch_all(&self.readers)
            .await?;
        for learner in marked {
            for step in STEPS {
                while self.delete_some(step, learner).await? > 0 {}
            }
        }
        self.sweep_blobs().await
    }

    async fn delete_some(&self, step: &'static str, learner: i64) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query(step).bind(learner).bind(ROWS_AT_ONCE).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}
