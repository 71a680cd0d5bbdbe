//! Corrections: tombstones, replaced rows, and the numbered table that tells of both.
//!
//! What is taken out of a row is overwritten where it stood in the file (`secure_delete`), overflow pages included. That is
//! switched on for these transactions alone: everything else that is deleted, weights above all, would be written once more.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::store::appending::ExampleColumns;
use crate::store::rows;
use crate::store::values::{bound, kept, now, number};
use crate::stream::{Correction, CorrectionKind, Deletion, ExampleName, LearnerId, Seq, StoreError};
use crate::training::Change;

impl SqliteStore {
    pub(super) async fn bury(&self, learner: LearnerId, example: &ExampleName) -> Result<Deletion, StoreError> {
        let mut transaction = self.write().await?;
        let Some((seq, is_deleted)) = find(&mut transaction, learner, example).await? else {
            transaction.roll_back().await?;
            return Ok(Deletion::Unknown);
        };
        if is_deleted {
            transaction.roll_back().await?;
            return Ok(Deletion::Before(seq));
        }
        let at = now();
        overwrite(&mut transaction).await?;
        sqlx::query(
            "UPDATE examples SET label_class = '', label_number = NULL, row = x'', deleted_at = ?
             WHERE learner_id = ? AND seq = ?",
        )
        .bind(at)
        .bind(learner.0)
        .bind(kept(seq.0)?)
        .execute(&mut *transaction)
        .await?;
        record(&mut transaction, learner, &[(seq, CorrectionKind::Deleted)], at).await?;
        overwrite_no_more(&mut transaction).await?;
        transaction.tell(Change::Stream(learner));
        transaction.commit().await?;
        Ok(Deletion::Deleted(seq))
    }

    pub(super) async fn corrections_after(
        &self,
        learner: LearnerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Correction>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, seq, kind, at FROM corrections
             WHERE learner_id = ?1 AND number > ?2 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
             ORDER BY number LIMIT ?3",
        )
        .bind(learner.0)
        .bind(bound(after))
        .bind(bound(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| rows::correction(learner, row)).collect()
    }
}

/// Puts these in the places of others, and numbers those corrections that change anything: a request that is sent again
/// corrects nothing.
pub(super) async fn replace(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    examples: &BTreeMap<Seq, &ExampleColumns>,
    at: i64,
) -> Result<(), StoreError> {
    overwrite(connection).await?;
    let mut changed = Vec::new();
    for (seq, example) in examples {
        let (class, value) = example.label_columns();
        let done = sqlx::query(
            "UPDATE examples SET label_class = ?3, label_number = ?4, row = ?5
             WHERE learner_id = ?1 AND seq = ?2
             AND (label_class IS NOT ?3 OR label_number IS NOT ?4 OR row <> ?5)",
        )
        .bind(learner.0)
        .bind(kept(seq.0)?)
        .bind(class)
        .bind(value)
        .bind(example.row.as_slice())
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() > 0 {
            changed.push((*seq, CorrectionKind::Replaced));
        }
    }
    record(connection, learner, &changed, at).await?;
    overwrite_no_more(connection).await
}

/// Gives corrections the next numbers, inside the write lock.
async fn record(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    corrected: &[(Seq, CorrectionKind)],
    at: i64,
) -> Result<(), StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM corrections WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_one(&mut *connection)
        .await?;
    let last = number(last.unwrap_or(0), format_args!("the corrections of learner {}", learner.0))?;
    for (next, (seq, kind)) in (last + 1..).zip(corrected) {
        sqlx::query("INSERT INTO corrections (learner_id, number, seq, kind, at) VALUES (?, ?, ?, ?, ?)")
            .bind(learner.0)
            .bind(kept(next)?)
            .bind(kept(seq.0)?)
            .bind(kind.as_str())
            .bind(at)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The place of an example and whether it is a tombstone.
async fn find(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    example: &ExampleName,
) -> Result<Option<(Seq, bool)>, StoreError> {
    let query = match example {
        ExampleName::Id(id) => sqlx::query(
            "SELECT seq, deleted_at IS NOT NULL AS gone FROM examples WHERE learner_id = ?1 AND example_id = ?2
             AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)",
        )
        .bind(learner.0)
        .bind(id.clone()),
        ExampleName::Seq(seq) => sqlx::query(
            "SELECT seq, deleted_at IS NOT NULL AS gone FROM examples WHERE learner_id = ?1 AND seq = ?2
             AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)",
        )
        .bind(learner.0)
        .bind(bound(seq.0)),
    };
    let row = query.fetch_optional(connection).await?;
    row.map(|row| rows::place(learner, &row)).transpose()
}

/// From here on what is taken out of the file is overwritten with zeros. A transaction that ends without a commit takes
/// its connection, and with it the setting, along.
///
/// SQLite acts on this pragma when a statement is prepared, so a statement that is kept prepared would act only once.
async fn overwrite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("PRAGMA secure_delete = ON").execute(connection).await?;
    Ok(())
}

async fn overwrite_no_more(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("PRAGMA secure_delete = OFF").execute(connection).await?;
    Ok(())
}
