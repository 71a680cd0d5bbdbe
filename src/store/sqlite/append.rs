//! Appending: many requests, one transaction, an answer for each.
//!
//! Places are given inside the write lock, from the head that stands in the same transaction, and only to examples
//! that are new: so `seq` is dense, and a reader never sees a gap.

use std::collections::{BTreeMap, HashSet};

use sqlx::Row as _;

use super::SqliteStore;
use super::examples;
use super::write::WriteTransaction;
use crate::store::values::{document, json, kept, now, number};
use crate::stream::{Append, AppendRefusal, Appended, EncodedExample, IdempotencyKey, LearnerId, Seq, StoreError};
use crate::training::Change;

/// The heads of this transaction's learners; `None`: the learner is gone.
type Heads = BTreeMap<LearnerId, Option<u64>>;

impl SqliteStore {
    pub(super) async fn append_all(
        &self,
        requests: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let mut transaction = self.write().await?;
        let mut heads = Heads::new();
        let mut answers = Vec::with_capacity(requests.len());
        let at = now();
        for request in requests {
            answers.push(append(&mut transaction, &mut heads, request, at).await?);
        }
        for (learner, head) in &heads {
            if let Some(head) = *head {
                transaction.tell(Change::Stream(*learner));
                sqlx::query("UPDATE streams SET head = ?2 WHERE learner_id = ?1 AND head <> ?2")
                    .bind(learner.0)
                    .bind(kept(head)?)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(answers)
    }
}

async fn append(
    transaction: &mut WriteTransaction,
    heads: &mut Heads,
    request: Append,
    at: i64,
) -> Result<Result<Appended, AppendRefusal>, StoreError> {
    let learner = request.learner;
    let known = match heads.get(&learner) {
        Some(&known) => known,
        None => {
            let stored = head(transaction, learner).await?;
            heads.insert(learner, stored);
            stored
        }
    };
    let Some(head) = known else { return Ok(Err(AppendRefusal::LearnerGone)) };
    if let Some(key) = &request.key
        && let Some(answer) = earlier_answer(transaction, learner, key).await?
    {
        return Ok(answer);
    }
    let offered = request.examples.len();
    let new = without_known(transaction, learner, request.examples).await?;
    let accepted = new.len() as u64;
    let answer = Appended {
        accepted,
        duplicates: (offered - new.len()) as u64,
        first_seq: (accepted > 0).then_some(Seq(head + 1)),
        last_seq: (accepted > 0).then_some(Seq(head + accepted)),
        head_seq: Seq(head + accepted),
        covers: request.covers,
    };
    examples::insert(transaction, learner, Seq(head + 1), at, new).await?;
    heads.insert(learner, Some(head + accepted));
    if let Some(key) = &request.key {
        remember(transaction, learner, key, &answer, at).await?;
    }
    Ok(Ok(answer))
}

async fn head(transaction: &mut WriteTransaction, learner: LearnerId) -> Result<Option<u64>, StoreError> {
    let head: Option<i64> = sqlx::query_scalar("SELECT head FROM streams WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await?;
    head.map(|head| number(head, format_args!("the head of learner {}", learner.0))).transpose()
}

/// Leaves out the examples whose id the learner has, and those whose id came earlier in the request.
async fn without_known(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    offered: Vec<EncodedExample>,
) -> Result<Vec<EncodedExample>, StoreError> {
    let ids: Vec<&str> = offered.iter().filter_map(|example| example.id.as_deref()).collect();
    if ids.is_empty() {
        return Ok(offered);
    }
    let known = examples::known_ids(transaction, learner, &ids).await?;
    let mut seen = HashSet::with_capacity(ids.len());
    let new: Vec<bool> = offered
        .iter()
        .map(|example| example.id.as_deref().is_none_or(|id| !known.contains(id) && seen.insert(id)))
        .collect();
    Ok(offered.into_iter().zip(new).filter_map(|(example, new)| new.then_some(example)).collect())
}

/// What was answered under this key; `None` if nothing was.
async fn earlier_answer(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    key: &IdempotencyKey,
) -> Result<Option<Result<Appended, AppendRefusal>>, StoreError> {
    let found = sqlx::query("SELECT body, answer FROM idempotency_keys WHERE learner_id = ? AND key = ?")
        .bind(learner.0)
        .bind(key.key.clone())
        .fetch_optional(&mut **transaction)
        .await?;
    let Some(row) = found else { return Ok(None) };
    if row.try_get::<&[u8], _>("body")? != key.body {
        return Ok(Some(Err(AppendRefusal::KeyReused)));
    }
    let what = format_args!("an answer under an idempotency key of learner {}", learner.0);
    Ok(Some(Ok(document(row.try_get("answer")?, what)?)))
}

async fn remember(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    key: &IdempotencyKey,
    answer: &Appended,
    at: i64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO idempotency_keys (learner_id, key, body, answer, created_at) VALUES (?, ?, ?, ?, ?)")
        .bind(learner.0)
        .bind(key.key.clone())
        .bind(key.body.to_vec())
        .bind(json(answer)?)
        .bind(at)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
