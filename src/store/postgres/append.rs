//! Appending: many requests, one transaction, a fixed number of statements, an answer for each.
//!
//! The heads of the learners are locked first, in order, and held until the commit: whoever writes to the same stream waits,
//! so places are dense, commits follow each other in the order of places, and an id or key that another process writes at
//! the same moment is seen here or sees this one.

use super::write::WriteTransaction;
use super::{PostgresStore, corrections, examples};
use crate::store::appending::{self, Addition, Keep, Known, Offered};
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::{json, kept, number};
use crate::stream::{AppendRefusal, Appended, LearnerId, StoreError};
use crate::training::Change;

impl PostgresStore {
    pub(super) async fn append_all(
        &self,
        requests: &[Offered],
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let mut transaction = self.write().await?;
        let known = known(&mut transaction, requests).await?;
        let decided = appending::decide(requests, known);
        for (learner, addition) in &decided.additions {
            move_head(&mut transaction, *learner, addition).await?;
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

/// Locks the heads and reads everything that decides about these requests.
async fn known(transaction: &mut WriteTransaction, requests: &[Offered]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let learners: Vec<i64> = appending::learners(requests).iter().map(|learner| learner.0).collect();
    let heads =
        sqlx::query("SELECT learner_id, head FROM streams WHERE learner_id = ANY($1) ORDER BY learner_id FOR UPDATE")
            .bind(learners)
            .fetch_all(&mut **transaction)
            .await?;
    for row in heads {
        let learner = row.integer("learner_id")?;
        let head = number(row.integer("head")?, format_args!("the head of learner {learner}"))?;
        known.heads.insert(LearnerId(learner), head);
    }
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

async fn move_head(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    addition: &Addition<'_>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE streams SET head = $2 WHERE learner_id = $1")
        .bind(learner.0)
        .bind(kept(addition.head().0)?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
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
