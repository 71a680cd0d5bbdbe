//! The table of examples: many rows with one statement, and back.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::SqliteConnection;

use crate::store::appending::Addition;
use crate::store::placement::Standing;
use crate::store::rows;
use crate::store::values::{bound, json, kept};
use crate::stream::{Entry, Label, LearnerId, Seq, StoreError};

/// A statement for many rows at once.
struct Sized {
    rows: usize,
    statement: String,
}

/// The most rows of one statement: enough that it costs little beside them.
const MOST_ROWS: usize = 256;

/// Statements of more rows than this have a multiple of it, so that the connection can keep all of them prepared.
const STEP: usize = 16;

/// A statement of every size, the largest first: any number of rows within [`MOST_ROWS`] takes two at most.
fn sized(statement: impl Fn(usize) -> String) -> Vec<Sized> {
    let sizes = (STEP..=MOST_ROWS).rev().step_by(STEP).chain((1..STEP).rev());
    sizes.map(|rows| Sized { rows, statement: statement(rows) }).collect()
}

/// The largest size that `left` rows, of which there are some, fill.
fn fitting(sizes: &'static [Sized], left: usize) -> &'static Sized {
    sizes.iter().find(|sized| sized.rows <= left).unwrap_or(&sizes[sizes.len() - 1])
}

static INSERT: LazyLock<Vec<Sized>> = LazyLock::new(|| {
    sized(|rows| {
        let places = vec!["(?,?,?,?,?,?,?)"; rows].join(",");
        let columns = "learner_id, seq, example_id, label_class, label_number, created_at, row";
        // The head moves with them: one way to the connection's thread instead of two.
        format!(
            "UPDATE streams SET head = ? WHERE learner_id = ?;
             INSERT INTO examples ({columns}) VALUES {places}"
        )
    })
});

static KNOWN_IDS: LazyLock<Vec<Sized>> = LazyLock::new(|| {
    sized(|rows| {
        let places = vec!["?"; rows].join(",");
        format!(
            "SELECT example_id, seq, deleted_at IS NOT NULL AS gone FROM examples
             WHERE learner_id = ? AND example_id IN ({places})"
        )
    })
});

/// Which of these ids the learner has, and where.
pub(super) async fn known_ids(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    ids: &[&str],
) -> Result<HashMap<String, Standing>, StoreError> {
    let mut known = HashMap::new();
    let mut left = ids;
    while !left.is_empty() {
        let sized = fitting(&KNOWN_IDS, left.len());
        let (these, rest) = left.split_at(sized.rows);
        left = rest;
        let mut query = sqlx::query(sized.statement.as_str()).bind(learner.0);
        for &id in these {
            query = query.bind(id.to_owned());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let (id, standing) = rows::standing(learner, &row)?;
            known.insert(id, standing);
        }
    }
    Ok(known)
}

/// Writes new examples at their places, and the head behind them.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    addition: &Addition<'_>,
    at: i64,
) -> Result<(), StoreError> {
    let mut seq = addition.first.0;
    let mut left = addition.examples.len();
    let mut examples = addition.examples.iter();
    while left > 0 {
        let sized = fitting(&INSERT, left);
        left -= sized.rows;
        let head = kept(seq - 1 + sized.rows as u64)?;
        let mut query = sqlx::query(sized.statement.as_str()).bind(head).bind(learner.0);
        for example in examples.by_ref().take(sized.rows) {
            let (class, number) = example.label_columns();
            query = query
                .bind(learner.0)
                .bind(kept(seq)?)
                .bind(example.id.as_deref())
                .bind(class)
                .bind(number)
                .bind(at)
                .bind(example.row.as_slice());
            seq += 1;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What stands after a place, in order. A learner that was deleted has none, though its rows may not all be gone yet.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, deleted_at IS NOT NULL AS gone, row FROM examples
         WHERE learner_id = ?1 AND seq > ?2 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq LIMIT ?3",
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
    connection: &mut SqliteConnection,
    learner: LearnerId,
    seqs: &[Seq],
) -> Result<Vec<Entry>, StoreError> {
    let places: Vec<i64> = seqs.iter().filter_map(|seq| i64::try_from(seq.0).ok()).collect();
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, deleted_at IS NOT NULL AS gone, row FROM examples
         WHERE learner_id = ?1 AND seq IN (SELECT value FROM json_each(?2))
         AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(json(&places)?)
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::entry).await
}

/// The labels after a place up to and including another, in order; a tombstone has none.
pub(super) async fn labels(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: Seq,
    until: Seq,
) -> Result<Vec<(Seq, Option<Label>)>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, label_class, label_number, deleted_at IS NOT NULL AS gone FROM examples
         WHERE learner_id = ?1 AND seq > ?2 AND seq <= ?3
         AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(until.0))
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::labelled).await
}
