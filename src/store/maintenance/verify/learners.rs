//! A learner's numbers: its stream, journal and versions are dense, its cursor is within them, and what names a version or a
//! blob names one that is there.

use super::super::raw::{Cell, Raw};
use super::{Depth, LearnerReport, Report, Verifier};
use crate::stream::StoreError;

/// Learners read at once.
const LEARNERS_AT_ONCE: i64 = 100;

/// Places counted in one statement.
const PLACES_AT_ONCE: i64 = 50_000;

/// What names something that is not there, for one learner: the query gives the numbers of those that do.
const DANGLING: [(&str, &str, &str); 10] = [
    (
        "version",
        "has a parent that is not there, or is no older than itself",
        "SELECT version FROM versions AS child WHERE learner_id = $1 AND parent IS NOT NULL AND (parent >= version OR NOT EXISTS
         (SELECT 1 FROM versions WHERE learner_id = $1 AND versions.version = child.parent)) ORDER BY version",
    ),
    (
        "version",
        "was trained beyond the head of the stream",
        "SELECT version FROM versions JOIN streams ON streams.learner_id = versions.learner_id
         WHERE versions.learner_id = $1 AND trained_seq > head ORDER BY version",
    ),
    (
        "version",
        "keeps weights whose blob is not there",
        "SELECT version FROM versions WHERE learner_id = $1 AND weights_kept AND NOT EXISTS
         (SELECT 1 FROM blobs WHERE blobs.digest = versions.digest AND complete) ORDER BY version",
    ),
    (
        "version",
        "is named by an alias and not there, or without its weights",
        "SELECT version FROM aliases WHERE learner_id = $1 AND NOT EXISTS
         (SELECT 1 FROM versions WHERE learner_id = $1 AND versions.version = aliases.version AND weights_kept)
         ORDER BY version",
    ),
    (
        "generation",
        "is an alias's newest, and not the last of its history",
        "SELECT generation FROM aliases WHERE learner_id = $1 AND generation <> (SELECT COALESCE(MAX(generation), 0)
         FROM alias_history AS moves WHERE moves.learner_id = $1 AND moves.alias = aliases.alias) ORDER BY generation",
    ),
    (
        "generation",
        "is the last of an alias's history, in which others are missing",
        "SELECT MAX(generation) FROM alias_history WHERE learner_id = $1
         GROUP BY alias HAVING COUNT(*) <> MAX(generation) ORDER BY MAX(generation)",
    ),
    (
        "version",
        "is the checkpoint's last, whose weights are not there",
        "SELECT last_version FROM checkpoints WHERE learner_id = $1 AND NOT EXISTS
         (SELECT 1 FROM blobs WHERE blobs.digest = checkpoints.weights AND complete)",
    ),
    (
        "version",
        "is the checkpoint's last, whose optimizer state is not there",
        "SELECT last_version FROM checkpoints WHERE learner_id = $1 AND NOT EXISTS
         (SELECT 1 FROM blobs WHERE blobs.digest = checkpoints.optimizer AND complete)",
    ),
    (
        "correction",
        "is of an example that is not there",
        "SELECT number FROM corrections WHERE learner_id = $1 AND NOT EXISTS
         (SELECT 1 FROM examples WHERE learner_id = $1 AND examples.seq = corrections.seq) ORDER BY number",
    ),
    (
        "correction",
        "deleted an example whose values are still there",
        "SELECT number FROM corrections WHERE learner_id = $1 AND kind = 'deleted' AND EXISTS
         (SELECT 1 FROM examples WHERE learner_id = $1 AND examples.seq = corrections.seq
          AND (deleted_at IS NULL OR length(row) > 0)) ORDER BY number",
    ),
];

/// Checks every learner.
pub(super) async fn check(raw: &mut Raw, verifier: Verifier<'_>, report: &mut Report) -> Result<(), StoreError> {
    let mut last = i64::MIN;
    loop {
        let page = raw
            .rows(
                "SELECT id, name FROM learners WHERE id > $1 ORDER BY id LIMIT $2",
                &[Cell::Integer(last), Cell::Integer(LEARNERS_AT_ONCE)],
            )
            .await?;
        for row in &page {
            last = row[0].integer();
            let mut faults = Vec::new();
            let found = check_one(raw, verifier, (last, row[1].text()), &mut faults).await?;
            if raw.integer("SELECT COUNT(*) FROM learners WHERE id = $1", &[Cell::Integer(last)]).await? == 1 {
                report.learners.push(found);
                report.faults.extend(faults);
            }
        }
        if page.is_empty() {
            return Ok(());
        }
    }
}

async fn check_one(
    raw: &mut Raw,
    verifier: Verifier<'_>,
    (id, name): (i64, &str),
    faults: &mut Vec<String>,
) -> Result<LearnerReport, StoreError> {
    (verifier.progress)("learner", id.unsigned_abs());
    let learner = [Cell::Integer(id)];
    let row = raw
        .row(
            "SELECT (SELECT head FROM streams WHERE learner_id = $1),
                    (SELECT MIN(seq) FROM examples WHERE learner_id = $1),
                    (SELECT MAX(seq) FROM examples WHERE learner_id = $1)",
            &learner,
        )
        .await?;
    let head = row[0].integer();
    if row[0].number().is_none() {
        faults.push(format!("learner {id} has no stream"));
    } else if row[2].integer() != head || row[1].number().is_some_and(|first| first < 1) {
        faults.push(format!("learner {id}: its head is {head}, its newest example {}", row[2].integer()));
    }
    dense(raw, Numbered { table: "examples", column: "seq", what: "example" }, (id, head), faults).await?;
    let last = |table: &str, column: &str| format!("SELECT MAX({column}) FROM {table} WHERE learner_id = $1");
    let events = raw.integer(&last("journal", "position"), &learner).await?;
    dense(raw, Numbered { table: "journal", column: "position", what: "event" }, (id, events), faults).await?;
    let versions = raw.integer(&last("versions", "version"), &learner).await?;
    dense(raw, Numbered { table: "versions", column: "version", what: "version" }, (id, versions), faults).await?;
    let corrections = raw.integer(&last("corrections", "number"), &learner).await?;
    let numbered = Numbered { table: "corrections", column: "number", what: "correction" };
    dense(raw, numbered, (id, corrections), faults).await?;
    let trained_seq = cursor(raw, id, faults).await?;
    for (subject, what, query) in DANGLING {
        for row in raw.rows(query, &learner).await? {
            faults.push(format!("learner {id}: {subject} {} {what}", row[0].integer()));
        }
    }
    let live = raw.rows("SELECT version FROM aliases WHERE learner_id = $1 AND alias = 'live'", &learner).await?;
    if live.is_empty() {
        faults.push(format!("learner {id} has no live version"));
    }
    if verifier.depth == Depth::Deep {
        check_examples(raw, id, faults).await?;
    }
    let weights = "SELECT COUNT(*) FROM versions WHERE learner_id = $1 AND weights_kept";
    Ok(LearnerReport {
        id,
        name: name.to_owned(),
        head_seq: head,
        trained_seq,
        events,
        versions,
        weights: raw.integer(weights, &learner).await?,
        live: live.first().map(|row| row[0].integer()),
    })
}

/// What only a look at every example of a learner can tell.
async fn check_examples(raw: &mut Raw, id: i64, faults: &mut Vec<String>) -> Result<(), StoreError> {
    let learner = [Cell::Integer(id)];
    let ids = "SELECT COUNT(example_id), COUNT(DISTINCT example_id) FROM examples WHERE learner_id = $1";
    let row = raw.row(ids, &learner).await?;
    if row[0] != row[1] {
        faults.push(format!("learner {id}: {} ids stand twice", row[0].integer() - row[1].integer()));
    }
    let untold = "SELECT seq FROM examples WHERE learner_id = $1 AND deleted_at IS NOT NULL AND NOT EXISTS
                  (SELECT 1 FROM corrections WHERE learner_id = $1 AND corrections.seq = examples.seq AND kind = 'deleted')";
    for row in raw.rows(untold, &learner).await? {
        faults.push(format!("learner {id}: example {} is deleted and no correction says so", row[0].integer()));
    }
    Ok(())
}

/// Rows that are numbered from 1 without a gap.
#[derive(Clone, Copy)]
struct Numbered {
    table: &'static str,
    column: &'static str,
    what: &'static str,
}

/// Whether there is a row for every number up to the last. They are counted in pages: rows come behind, and none go.
async fn dense(
    raw: &mut Raw,
    rows: Numbered,
    (learner, last): (i64, i64),
    faults: &mut Vec<String>,
) -> Result<(), StoreError> {
    let Numbered { table, column, what } = rows;
    let count = format!("SELECT COUNT(*) FROM {table} WHERE learner_id = $1 AND {column} > $2 AND {column} <= $3");
    let mut from = 0;
    while from < last {
        let until = last.min(from + PLACES_AT_ONCE);
        let page = [Cell::Integer(learner), Cell::Integer(from), Cell::Integer(until)];
        let found = raw.integer(&count, &page).await?;
        if found != until - from {
            let first = first_gap(raw, rows, &page).await?;
            faults.push(format!(
                "learner {learner}: {} of its {what}s from {} to {until} are not there, the first is {what} {first}",
                until - from - found,
                from + 1
            ));
        }
        from = until;
    }
    Ok(())
}

/// The first number of a page that has no row.
async fn first_gap(raw: &mut Raw, rows: Numbered, page: &[Cell; 3]) -> Result<i64, StoreError> {
    let Numbered { table, column, .. } = rows;
    let gap = format!(
        "SELECT MIN(place) FROM (SELECT {column} + 1 AS place FROM {table} WHERE learner_id = $1 AND {column} > $2 AND {column} < $3
         UNION ALL SELECT $2 + 1) AS places
         WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE learner_id = $1 AND {column} = place)"
    );
    raw.integer(&gap, page).await
}

/// Where the trainer stands; it is within the stream, the journal and the versions.
async fn cursor(raw: &mut Raw, id: i64, faults: &mut Vec<String>) -> Result<i64, StoreError> {
    let rows = raw
        .rows(
            "SELECT trained_seq, last_version, position,
                    (SELECT head FROM streams WHERE learner_id = $1),
                    (SELECT MAX(version) FROM versions WHERE learner_id = $1),
                    (SELECT MAX(position) FROM journal WHERE learner_id = $1)
             FROM checkpoints WHERE learner_id = $1",
            &[Cell::Integer(id)],
        )
        .await?;
    let Some(row) = rows.first() else {
        faults.push(format!("learner {id} has no checkpoint"));
        return Ok(0);
    };
    let [trained, last_version, position, head, newest, events] = [0, 1, 2, 3, 4, 5].map(|place| row[place].integer());
    if trained > head {
        faults.push(format!("learner {id}: its checkpoint is at example {trained}, beyond its head {head}"));
    }
    if last_version != newest {
        faults.push(format!("learner {id}: its checkpoint's last version is {last_version}, its newest {newest}"));
    }
    if position > events {
        faults.push(format!("learner {id}: its checkpoint is at event {position}, beyond the last, {events}"));
    }
    Ok(trained)
}
