//! Appending: many requests, one transaction, an answer for each.
//!
//! What is known is read, decided upon and written inside the write lock, so `seq` is dense, and a reader never sees a
//! gap.

use super::write::WriteTransaction;
use super::{SqliteStore, corrections, examples};
use crate::store::appending::{self, Keep, Known, Offered};
use crate::store::rows;
use crate::store::values::{json, kept, now, number};
use crate::stream::{Append, AppendRefusal, Appended, LearnerId, StoreError};
use crate::training::Change;

impl SqliteStore {
    pub(super) async fn append_all(
        &self,
        requests: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let requests = appending::encode(requests).await?;
        let mut transaction = self.write().await?;
        let known = known(&mut transaction, &requests).await?;
        let decided = appending::decide(&requests, known);
        let at = now();
        for (learner, addition) in &decided.additions {
            set_head(&mut transaction, *learner, addition.head().0).await?;
            examples::insert(&mut transaction, *learner, addition, at).await?;
            transaction.tell(Change::Stream(*learner));
        }
        for (learner, replacements) in &decided.replacements {
            corrections::replace(&mut transaction, *learner, replacements, at).await?;
            transaction.tell(Change::Stream(*learner));
        }
        for keep in &decided.keys {
            remember(&mut transaction, keep, at).await?;
        }
        transaction.commit().await?;
        Ok(decided.answers)
    }
}

/// Everything that decides about these requests.
async fn known(transaction: &mut WriteTransaction, requests: &[Offered]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    for learner in appending::learners(requests) {
        if let Some(head) = head(transaction, learner).await? {
            known.heads.insert(learner, head);
        }
    }
    for (learner, key) in appending::keys(requests) {
        let found = sqlx::query("SELECT body, answer FROM idempotency_keys WHERE learner_id = ? AND key = ?")
            .bind(learner.0)
            .bind(key.key.clone())
            .fetch_optional(&mut **transaction)
            .await?;
        if let Some(row) = found {
            known.answers.insert((learner, key.key.clone()), rows::remembered(learner, &row)?);
        }
    }
    for request in requests {
        let ids: Vec<&str> = request.examples.iter().filter_map(|example| example.id.as_deref()).collect();
        let stored = examples::known_ids(transaction, request.learner, &ids).await?;
        known.ids.entry(request.learner).or_default().extend(stored);
    }
    Ok(known)
}

async fn head(transaction: &mut WriteTransaction, learner: LearnerId) -> Result<Option<u64>, StoreError> {
    let head: Option<i64> = sqlx::query_scalar("SELECT head FROM streams WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await?;
    head.map(|head| number(head, format_args!("the head of learner {}", learner.0))).transpose()
}

async fn set_head(transaction: &mut WriteTransaction, learner: LearnerId, head: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE streams SET head = ? WHERE learner_id = ?")
        .bind(kept(head)?)
        .bind(learner.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn remember(transaction: &mut WriteTransaction, keep: &Keep<'_>, at: i64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO idempotency_keys (learner_id, key, body, answer, created_at) VALUES (?, ?, ?, ?, ?)")
        .bind(keep.learner.0)
        .bind(keep.key.key.clone())
        .bind(keep.key.body.to_vec())
        .bind(json(&keep.answer)?)
        .bind(at)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
