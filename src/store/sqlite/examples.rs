//! The table of examples: many rows with one statement, and back.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::failure::{broken_off, damaged};
use crate::store::values::{bound, json, kept, number};
use crate::stream::{EncodedExample, Label, LearnerId, Seq, StoreError, StoredExample, row_codec};

/// A statement for many rows at once, in a few sizes, so that each is prepared once and kept by the connection.
struct Sized {
    rows: usize,
    statement: String,
}

/// The sizes: few enough to be kept, large enough that a statement costs little beside its rows.
const SIZES: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[Sized; 3]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let places = vec!["(?,?,?,?,?,?,?)"; rows].join(",");
        let columns = "learner_id, seq, example_id, label_class, label_number, created_at, row";
        Sized { rows, statement: format!("INSERT INTO examples ({columns}) VALUES {places}") }
    })
});

static KNOWN_IDS: LazyLock<[Sized; 3]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let places = vec!["?"; rows].join(",");
        let statement = format!("SELECT example_id FROM examples WHERE learner_id = ? AND example_id IN ({places})");
        Sized { rows, statement }
    })
});

/// The largest size that `left` rows fill.
fn fitting(sizes: &'static [Sized; 3], left: usize) -> &'static Sized {
    sizes.iter().find(|sized| sized.rows <= left).unwrap_or(&sizes[2])
}

/// Which of these ids the learner has.
pub(super) async fn known_ids(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    ids: &[&str],
) -> Result<HashSet<String>, StoreError> {
    let mut known = HashSet::new();
    let mut left = ids;
    while !left.is_empty() {
        let sized = fitting(&KNOWN_IDS, left.len());
        let (these, rest) = left.split_at(sized.rows);
        left = rest;
        let mut query = sqlx::query_scalar::<_, String>(sized.statement.as_str()).bind(learner.0);
        for &id in these {
            query = query.bind(id.to_owned());
        }
        known.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(known)
}

/// Writes examples at the places from `first` on.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    first: Seq,
    at: i64,
    examples: Vec<EncodedExample>,
) -> Result<(), StoreError> {
    let mut seq = first.0;
    let mut left = examples.len();
    let mut examples = examples.into_iter();
    while left > 0 {
        let sized = fitting(&INSERT, left);
        left -= sized.rows;
        let mut query = sqlx::query(sized.statement.as_str());
        for example in examples.by_ref().take(sized.rows) {
            let (class, number) = match example.label {
                Label::Class(class) => (Some(class), None),
                Label::Number(number) => (None, Some(number)),
            };
            query = query
                .bind(learner.0)
                .bind(kept(seq)?)
                .bind(example.id)
                .bind(class)
                .bind(number)
                .bind(at)
                .bind(example.row);
            seq += 1;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The examples after a place, in order. A learner that was deleted has none, though its rows may not all be gone yet.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: Seq,
    limit: usize,
) -> Result<Vec<StoredExample>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, row FROM examples
         WHERE learner_id = ?1 AND seq > ?2 AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq LIMIT ?3",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    decode(learner, rows).await
}

/// The examples at these places, each once, in order.
pub(super) async fn at(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    seqs: &[Seq],
) -> Result<Vec<StoredExample>, StoreError> {
    let places: Vec<i64> = seqs.iter().filter_map(|seq| i64::try_from(seq.0).ok()).collect();
    let rows = sqlx::query(
        "SELECT seq, example_id, label_class, label_number, row FROM examples
         WHERE learner_id = ?1 AND seq IN (SELECT value FROM json_each(?2))
         AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(json(&places)?)
    .fetch_all(connection)
    .await?;
    decode(learner, rows).await
}

/// The labels after a place up to and including another, in order.
pub(super) async fn labels(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: Seq,
    until: Seq,
) -> Result<Vec<(Seq, Label)>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, label_class, label_number FROM examples
         WHERE learner_id = ?1 AND seq > ?2 AND seq <= ?3
         AND EXISTS (SELECT 1 FROM streams WHERE learner_id = ?1)
         ORDER BY seq",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(until.0))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let seq = place(learner, row)?;
            Ok((seq, label(learner, seq, row)?))
        })
        .collect()
}

/// Decodes rows on a thread that may take its time.
async fn decode(learner: LearnerId, rows: Vec<SqliteRow>) -> Result<Vec<StoredExample>, StoreError> {
    tokio::task::spawn_blocking(move || rows.iter().map(|row| example(learner, row)).collect())
        .await
        .map_err(broken_off)?
}

fn example(learner: LearnerId, row: &SqliteRow) -> Result<StoredExample, StoreError> {
    let seq = place(learner, row)?;
    let label = label(learner, seq, row)?;
    let values = row_codec::decode(row.try_get("row")?).map_err(|reason| damaged(name(learner, seq), reason))?;
    Ok(StoredExample { seq, id: row.try_get("example_id")?, row: values, label })
}

fn place(learner: LearnerId, row: &SqliteRow) -> Result<Seq, StoreError> {
    Ok(Seq(number(row.try_get("seq")?, format_args!("an example of learner {}", learner.0))?))
}

fn label(learner: LearnerId, seq: Seq, row: &SqliteRow) -> Result<Label, StoreError> {
    match (row.try_get("label_class")?, row.try_get("label_number")?) {
        (Some(class), None) => Ok(Label::Class(class)),
        (None, Some(number)) => Ok(Label::Number(number)),
        _ => Err(damaged(name(learner, seq), "it has not exactly one label")),
    }
}

fn name(learner: LearnerId, seq: Seq) -> String {
    format!("example {seq} of learner {}", learner.0)
}
