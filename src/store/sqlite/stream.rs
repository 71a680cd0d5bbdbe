//! [`StreamStore`] on SQLite.

use async_trait::async_trait;
use time::Duration;

use super::{SqliteStore, examples};
use crate::store::values::{later, now, number};
use crate::stream::{
    Append, AppendRefusal, Appended, Correction, Deletion, Entry, ExampleName, Label, LearnerId, Seq, StoreError,
    StreamStore,
};

/// Keys that one transaction forgets.
const SWEPT_AT_ONCE: i64 = 1_000;

#[async_trait]
impl StreamStore for SqliteStore {
    async fn append(&self, requests: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        if requests.is_empty() { Ok(Vec::new()) } else { self.append_all(requests).await }
    }

    async fn head(&self, learner: LearnerId) -> Result<Seq, StoreError> {
        let head: Option<i64> = sqlx::query_scalar("SELECT head FROM streams WHERE learner_id = ?")
            .bind(learner.0)
            .fetch_optional(&self.readers)
            .await?;
        Ok(Seq(number(head.unwrap_or(0), format_args!("the head of learner {}", learner.0))?))
    }

    async fn read(&self, learner: LearnerId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        examples::after(&mut *self.readers.acquire().await?, learner, after, limit).await
    }

    async fn fetch(&self, learner: LearnerId, seqs: &[Seq]) -> Result<Vec<Entry>, StoreError> {
        examples::at(&mut *self.readers.acquire().await?, learner, seqs).await
    }

    async fn labels(
        &self,
        learner: LearnerId,
        after: Seq,
        until: Seq,
    ) -> Result<Vec<(Seq, Option<Label>)>, StoreError> {
        examples::labels(&mut *self.readers.acquire().await?, learner, after, until).await
    }

    async fn delete_example(&self, learner: LearnerId, example: &ExampleName) -> Result<Deletion, StoreError> {
        self.bury(learner, example).await
    }

    async fn corrections(&self, learner: LearnerId, after: u64, limit: usize) -> Result<Vec<Correction>, StoreError> {
        self.corrections_after(learner, after, limit).await
    }

    async fn sweep_keys(&self, days: u32) -> Result<u64, StoreError> {
        let oldest = later(now(), -Duration::days(i64::from(days)));
        let mut swept = 0;
        loop {
            let mut transaction = self.write().await?;
            let gone = sqlx::query(
                "DELETE FROM idempotency_keys WHERE rowid IN
                 (SELECT rowid FROM idempotency_keys WHERE created_at < ? LIMIT ?)",
            )
            .bind(oldest)
            .bind(SWEPT_AT_ONCE)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            transaction.commit().await?;
            swept += gone;
            if gone == 0 {
                return Ok(swept);
            }
        }
    }
}
