//! Appending: many requests, one transaction, a fixed number of statements, an answer for each.
//!
//! The heads of the learners are locked first, in order, and held until the commit: whoever writes to the same stream waits,
//! so places are dense, commits follow each other in the order of places, and an id or key that another process writes at
//! the same moment is seen here or sees this one.

use super::write::WriteTransaction;
use super::{PostgresStore, corrections, examples};
use crate::store::appending::{self, Keep, Known};
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::json;
use crate::stream::{Append, AppendRefusal, Appended, LearnerId, StoreError};
use crate::training::Change;

impl PostgresStore {
    pub(super) async fn append_all(
        &self,
        requests: &[Append],
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let heads = format!("{} FOR UPDATE", appending::heads_query(requests));
        let (mut transaction, heads) = WriteTransaction::begin_appending(&self.appender, &heads).await?;
        let known = Known { heads: rows::heads(&heads)?, ..known(&mut transaction, requests).await? };
        let decided = appending::decide(requests, known);
        for (learner, addition) in &decided.additions {
            examples::insert(&mut transaction, *learner, addition).await?;
            transaction.tell(Change::Stream(*learner));
        }
        for (learner, replacements) in &decided.replacements {
            corrections::replace(&mut transaction, *learner, replacements).await?;
            transaction.tell(Change::Stream(*learner));
        }
        remember(&mut transaction, &decided.keys).await?;
        transaction.commit().await?;
        Ok(decided.answers)
    }
}

/// Reads everything else that decides about these requests.
async fn known(transaction: &mut WriteTransaction, requests: &[Append]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let (learners, keys): (Vec<i64>, Vec<&str>) =
        appending::keys(requests).map(|(learner, key)| (learner.0, key.key.as_str())).unzip();
    if !keys.is_empty() {
        let found = sqlx::query(
            "SELECT learner_id, key, body, answer FROM unnest($1::bigint[], $2::text[]) AS offered (learner, word)
             JOIN idempotency_keys ON learner_id = learner AND key = word",
        )
        .bind(learners)
        .bind(keys)
        .fetch_all(&mut **transaction)
        .await?;
        for row in found {
            let learner = LearnerId(row.integer("learner_id")?);
            known.answers.insert((learner, row.text("key")?.to_owned()), rows::remembered(learner, &row)?);
        }
    }
    examples::known_ids(transaction, requests, &mut known).await?;
    Ok(known)
}

async fn remember(transaction: &mut WriteTransaction, keys: &[Keep<'_>]) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let learners: Vec<i64> = keys.iter().map(|keep| keep.learner.0).collect();
    let words: Vec<&str> = keys.iter().map(|keep| keep.key.key.as_str()).collect();
    let bodies: Vec<&[u8]> = keys.iter().map(|keep| keep.key.body.as_slice()).collect();
    let answers = keys.iter().map(|keep| json(&keep.answer)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO idempotency_keys (learner_id, key, body, answer, created_at)
         SELECT learner, word, body, answer, (SELECT micros())
         FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[]) AS kept (learner, word, body, answer)",
    )
    .bind(learners)
    .bind(words)
    .bind(bodies)
    .bind(answers)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
