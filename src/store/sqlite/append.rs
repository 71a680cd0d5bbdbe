//! Appending: many requests, one transaction, an answer for each.
//!
//! Places are given inside the write lock, from the head that stands in the same transaction, and only to examples
//! that are new: so `seq` is dense, and a reader never sees a gap.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::examples::{self, ExampleColumns};
use super::write::WriteTransaction;
use super::{SqliteStore, corrections};
use crate::store::failure::broken_off;
use crate::store::placement::Placement;
use crate::store::values::{document, json, kept, now, number};
use crate::stream::{Append, AppendRefusal, Appended, Existing, IdempotencyKey, LearnerId, Seq, StoreError, row_codec};
use crate::training::Change;

/// A request whose rows are encoded.
struct Encoded {
    learner: LearnerId,
    key: Option<IdempotencyKey>,
    existing: Existing,
    examples: Vec<ExampleColumns>,
}

impl Encoded {
    fn of(request: Append) -> Self {
        let columns = request.examples.into_iter().map(|example| ExampleColumns {
            id: example.id,
            label: example.label,
            row: row_codec::encode(&example.row),
        });
        Self { learner: request.learner, key: request.key, existing: request.existing, examples: columns.collect() }
    }
}

/// The heads of this transaction's learners; `None`: the learner is gone.
type Heads = BTreeMap<LearnerId, Option<u64>>;

impl SqliteStore {
    pub(super) async fn append_all(
        &self,
        requests: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let requests: Vec<Encoded> =
            tokio::task::spawn_blocking(move || requests.into_iter().map(Encoded::of).collect())
                .await
                .map_err(broken_off)?;
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
    request: Encoded,
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
    let placement = placed(transaction, learner, Seq(head), request.existing, request.examples).await?;
    let answer = placement.answer();
    examples::insert(transaction, learner, Seq(head + 1), at, placement.new).await?;
    if !placement.replacements.is_empty() {
        corrections::replace(transaction, learner, placement.replacements, at).await?;
    }
    heads.insert(learner, Some(answer.head_seq.0));
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

/// Where each of these examples belongs.
async fn placed(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    head: Seq,
    existing: Existing,
    offered: Vec<ExampleColumns>,
) -> Result<Placement<ExampleColumns>, StoreError> {
    let ids: Vec<&str> = offered.iter().filter_map(|example| example.id.as_deref()).collect();
    let known = examples::known_ids(transaction, learner, &ids).await?;
    let mut placement = Placement::after(head, existing, known);
    for example in offered {
        placement.take(example.id.clone(), example);
    }
    Ok(placement)
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
