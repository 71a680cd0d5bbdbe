//! [`StreamStore`] on Postgres.

use async_trait::async_trait;
use time::Duration;

use super::retry::retried;
use super::{PostgresStore, examples};
use crate::store::appending;
use crate::store::values::{later, number};
use crate::stream::{
    Append, AppendRefusal, Appended, Correction, Deletion, Entry, ExampleName, Label, LearnerId, Seq, StoreError,
    StreamStore,
};

/// Keys that one transaction forgets.
const SWEPT_AT_ONCE: i64 = 5_000;

#[async_trait]
impl StreamStore for PostgresStore {
    async fn append(&self, requests: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let requests = appending::encode(requests).await?;
        retried!(self.append_all(&requests))
    }

    async fn head(&self, learner: LearnerId) -> Result<Seq, StoreError> {
        let head: Option<i64> = sqlx::query_scalar("SELECT head FROM streams WHERE learner_id = $1")
            .bind(learner.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(Seq(number(head.unwrap_or(0), format_args!("the head of learner {}", learner.0))?))
    }

    async fn read(&self, learner: LearnerId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        examples::after(&mut *self.pool.acquire().await?, learner, after, limit).await
    }

    async fn fetch(&self, learner: LearnerId, seqs: &[Seq]) -> Result<Vec<Entry>, StoreError> {
        examples::at(&mut *self.pool.acquire().await?, learner, seqs).await
    }

    async fn labels(
        &self,
        learner: LearnerId,
        after: Seq,
        until: Seq,
    ) -> Result<Vec<(Seq, Option<Label>)>, StoreError> {
        examples::labels(&mut *self.pool.acquire().await?, learner, after, until).await
    }

    async fn delete_example(&self, learner: LearnerId, example: &ExampleName) -> Result<Deletion, StoreError> {
        retried!(self.bury(learner, example))
    }

    async fn corrections(&self, learner: LearnerId, after: u64, limit: usize) -> Result<Vec<Correction>, StoreError> {
        self.corrections_after(learner, after, limit).await
    }

    async fn sweep_keys(&self, days: u32) -> Result<u64, StoreError> {
        let at: i64 = sqlx::query_scalar("SELECT micros()").fetch_one(&self.pool).await?;
        let oldest = later(at, -Duration::days(i64::from(days)));
        let mut swept = 0;
        loop {
            let gone = retried!(self.forget_keys(oldest))?;
            swept += gone;
            if gone == 0 {
                return Ok(swept);
            }
        }
    }
}

impl PostgresStore {
    async fn forget_keys(&self, oldest: i64) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query(
            "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM idempotency_keys WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(oldest)
        .bind(SWEPT_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}
