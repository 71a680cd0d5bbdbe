//! Appending: many requests, one transaction, an answer for each.
//!
//! What is known is read, decided upon and written inside the write lock, so `seq` is dense, and a reader never sees a
//! gap.

use super::write::WriteTransaction;
use super::{SqliteStore, corrections, examples};
use crate::store::appending::{self, Keep, Known};
use crate::store::rows;
use crate::store::values::{json, now};
use crate::stream::{Append, AppendRefusal, Appended, StoreError};
use crate::training::Change;

impl SqliteStore {
    pub(super) async fn append_all(
        &self,
        requests: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let heads = appending::heads_query(&requests);
        let (mut transaction, heads) = WriteTransaction::begin_reading(self, &heads).await?;
        let known = Known { heads: rows::heads(&heads)?, ..known(&mut transaction, &requests).await? };
        let decided = appending::decide(&requests, known);
        let at = now();
        for (learner, addition) in &decided.additions {
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

/// Everything else that decides about these requests.
async fn known(transaction: &mut WriteTransaction, requests: &[Append]) -> Result<Known, StoreError> {
    let mut known = Known::default();
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
