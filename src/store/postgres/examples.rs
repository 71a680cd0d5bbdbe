//! The table of examples: many rows with one statement, and back.

use sqlx::PgConnection;

use super::write::WriteTransaction;
use crate::store::appending::{self, Addition, Known};
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::{bound, kept};
use crate::stream::{Append, EncodedExample, Entry, Label, LearnerId, Seq, StoreError};

/// The most rows of one statement, and the most bytes beyond its first row: its arrays stand in memory here and there.
const ROWS_AT_ONCE: usize = 10_000;
const BYTES_AT_ONCE: usize = 16 << 20;

/// Finds which of the offered ids the learners have, and where.
pub(super) async fn known_ids(
    transaction: &mut WriteTransaction,
    requests: &[Append],
    known: &mut Known,
) -> Result<(), StoreError> {
    let (learners, ids): (Vec<i64>, Vec<&[u8]>) =
        appending::ids(requests).map(|(learner, id)| (learner.0, id.as_bytes())).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    let found = sqlx::query(
        "SELECT learner_id, example_id, seq, deleted_at IS NOT NULL AS gone
         FROM unnest($1::bigint[], $2::bytea[]) AS offered (learner, id)
         JOIN examples ON learner_id = learner AND example_id = id",
    )
    .bind(learners)
    .bind(ids)
    .fetch_all(&mut **transaction)
    .await?;
    for row in found {
        let learner = LearnerId(row.integer("learner_id")?);
        let (id, standing) = rows::standing(learner, &row)?;
        known.ids.entry(learner).or_default().insert(id, standing);
    }
    Ok(())
}

/// Writes new examples at their places, and the head behind them.
pub(super) async fn insert(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    addition: &Addition<'_>,
) -> Result<(), StoreError> {
    let mut first = addition.first.0;
    let mut left = addition.examples.as_slice();
    while !left.is_empty() {
        let (these, rest) = left.split_at(fitting(left));
        let ids: Vec<Option<&[u8]>> = these.iter().map(|example| example.id.as_deref().map(str::as_bytes)).collect();
        let (classes, numbers): (Vec<_>, Vec<_>) = these.iter().map(|example| example.label_columns()).unzip();
        let classes: Vec<Option<&[u8]>> = classes.into_iter().map(|class| class.map(str::as_bytes)).collect();
        let rows: Vec<&[u8]> = these.iter().map(|example| example.row.as_slice()).collect();
        let head = first - 1 + these.len() as u64;
        sqlx::query(
            "WITH moved AS (UPDATE streams SET head = $7 WHERE learner_id = $1)
             INSERT INTO examples (learner_id, seq, example_id, label_class, label_number, created_at, row)
             SELECT $1, $2 + place - 1, id, class, number, (SELECT micros()), bytes
             FROM unnest($3::bytea[], $4::bytea[], $5::float8[], $6::bytea[]) WITH ORDINALITY
             AS new (id, class, number, bytes, place)",
        )
        .bind(learner.0)
        .bind(kept(first)?)
        .bind(ids)
        .bind(classes)
        .bind(numbers)
        .bind(rows)
        .bind(kept(head)?)
        .execute(&mut **transaction)
        .await?;
        first = head + 1;
        left = rest;
    }
    Ok(())
}

/// How many examples one statement takes; at least one.
fn fitting(examples: &[&EncodedExample]) -> usize {
    let mut bytes = 0;
    let fits = |example: &&&EncodedExample| {
        bytes += example.row.len();
        bytes <= BYTES_AT_ONCE
    };
    examples.iter().take(ROWS_AT_ONCE).take_while(fits).count().max(1)
}

/// What stands after a place, in order. A learner that was deleted has none, though its rows may not all be gone yet.
pub(super) async fn after(
    connection: &mut PgConnection,
    learner: LearnerId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, deleted_at IS NOT NULL AS gone, row FROM examples
         WHERE learner_id = $1 AND seq > $2 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = $1)
         ORDER BY seq LIMIT $3",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::entry).await
}

/// What stands at these places, each once, in order.
pub(super) async fn at(
    connection: &mut PgConnection,
    learner: LearnerId,
    seqs: &[Seq],
) -> Result<Vec<Entry>, StoreError> {
    let places: Vec<i64> = seqs.iter().filter_map(|seq| i64::try_from(seq.0).ok()).collect();
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, deleted_at IS NOT NULL AS gone, row FROM examples
         WHERE learner_id = $1 AND seq = ANY($2) AND EXISTS (SELECT 1 FROM streams WHERE learner_id = $1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(places)
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::entry).await
}

/// The labels after a place up to and including another, in order; a tombstone has none.
pub(super) async fn labels(
    connection: &mut PgConnection,
    learner: LearnerId,
    after: Seq,
    until: Seq,
) -> Result<Vec<(Seq, Option<Label>)>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, label_class, label_number, deleted_at IS NOT NULL AS gone FROM examples
         WHERE learner_id = $1 AND seq > $2 AND seq <= $3 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = $1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(until.0))
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::labelled).await
}
