//! Corrections: tombstones, replaced rows, and the numbered table that tells of both.
//!
//! Like additions they are made under the lock of the learner's head, which orders their numbers. What is taken out of a row
//! leaves the database's files with the next vacuum.

use std::collections::BTreeMap;

use super::PostgresStore;
use super::write::WriteTransaction;
use crate::store::appending::ExampleColumns;
use crate::store::rows;
use crate::store::values::{bound, kept, number};
use crate::stream::{Correction, CorrectionKind, Deletion, ExampleName, LearnerId, Seq, StoreError};
use crate::training::Change;

impl PostgresStore {
    pub(super) async fn bury(&self, learner: LearnerId, example: &ExampleName) -> Result<Deletion, StoreError> {
        let mut transaction = self.write().await?;
        let outcome = match find(&mut transaction, learner, example).await? {
            None => Deletion::Unknown,
            Some((seq, true)) => Deletion::Before(seq),
            Some((seq, false)) => {
                sqlx::query(
                    "UPDATE examples SET label_class = '', label_number = NULL, row = '', deleted_at = micros()
                     WHERE learner_id = $1 AND seq = $2",
                )
                .bind(learner.0)
                .bind(kept(seq.0)?)
                .execute(&mut *transaction)
                .await?;
                record(&mut transaction, learner, &[seq.0], CorrectionKind::Deleted).await?;
                transaction.tell(Change::Stream(learner));
                Deletion::Deleted(seq)
            }
        };
        transaction.commit().await?;
        Ok(outcome)
    }

    pub(super) async fn corrections_after(
        &self,
        learner: LearnerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Correction>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, seq, kind, at FROM corrections
             WHERE learner_id = $1 AND number > $2 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = $1)
             ORDER BY number LIMIT $3",
        )
        .bind(learner.0)
        .bind(bound(after))
        .bind(bound(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| rows::correction(learner, row)).collect()
    }
}

/// Puts these in the places of others, and numbers those corrections that change anything: a request that is sent again
/// corrects nothing. The head is locked.
pub(super) async fn replace(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    examples: &BTreeMap<Seq, &ExampleColumns>,
) -> Result<(), StoreError> {
    let places = examples.keys().map(|seq| kept(seq.0)).collect::<Result<Vec<_>, _>>()?;
    let (classes, numbers): (Vec<_>, Vec<_>) = examples.values().map(|example| example.label_columns()).unzip();
    let classes: Vec<Option<&[u8]>> = classes.into_iter().map(|class| class.map(str::as_bytes)).collect();
    let rows: Vec<&[u8]> = examples.values().map(|example| example.row.as_slice()).collect();
    let changed: Vec<i64> = sqlx::query_scalar(
        "UPDATE examples SET label_class = class, label_number = value, row = bytes
         FROM unnest($2::bigint[], $3::bytea[], $4::float8[], $5::bytea[]) AS better (place, class, value, bytes)
         WHERE learner_id = $1 AND seq = place
         AND (label_class IS DISTINCT FROM class OR label_number IS DISTINCT FROM value OR examples.row <> bytes)
         RETURNING seq",
    )
    .bind(learner.0)
    .bind(places)
    .bind(classes)
    .bind(numbers)
    .bind(rows)
    .fetch_all(&mut **transaction)
    .await?;
    let what = format!("an example of learner {}", learner.0);
    let mut changed = changed.into_iter().map(|seq| number(seq, &what)).collect::<Result<Vec<_>, _>>()?;
    changed.sort_unstable();
    record(transaction, learner, &changed, CorrectionKind::Replaced).await
}

/// Gives corrections of these places the next numbers. The head is locked.
async fn record(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    places: &[u64],
    kind: CorrectionKind,
) -> Result<(), StoreError> {
    let places = places.iter().map(|&place| kept(place)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO corrections (learner_id, number, seq, kind, at)
         SELECT $1, (SELECT COALESCE(MAX(number), 0) FROM corrections WHERE learner_id = $1) + turn, place, $3, micros()
         FROM unnest($2::bigint[]) WITH ORDINALITY AS corrected (place, turn)",
    )
    .bind(learner.0)
    .bind(places)
    .bind(kind.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Locks the head and looks for an example: its place and whether it is a tombstone.
async fn find(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    example: &ExampleName,
) -> Result<Option<(Seq, bool)>, StoreError> {
    let head = sqlx::query("SELECT 1 FROM streams WHERE learner_id = $1 FOR UPDATE")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await?;
    if head.is_none() {
        return Ok(None);
    }
    let query = match example {
        ExampleName::Id(id) => sqlx::query(
            "SELECT seq, deleted_at IS NOT NULL AS gone FROM examples WHERE learner_id = $1 AND example_id = $2",
        )
        .bind(learner.0)
        .bind(id.as_bytes()),
        ExampleName::Seq(seq) => {
            sqlx::query("SELECT seq, deleted_at IS NOT NULL AS gone FROM examples WHERE learner_id = $1 AND seq = $2")
                .bind(learner.0)
                .bind(bound(seq.0))
        }
    };
    let row = query.fetch_optional(&mut **transaction).await?;
    row.map(|row| rows::place(learner, &row)).transpose()
}
