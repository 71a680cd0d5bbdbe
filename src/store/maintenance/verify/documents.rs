//! Every document and every row of a stream, read as the server reads them: the deep part of a verification.

use super::super::raw::{Cell, Cells, Raw};
use super::{Report, Verifier};
use crate::registry::{Cause, Model, VersionMetrics};
use crate::store::values::document;
use crate::stream::{Appended, StoreError, row_codec};
use crate::training::{GrowthOrder, JournalEvent, LearnerDocument};

/// Rows read at once.
const ROWS_AT_ONCE: i64 = 500;

/// Models read at once: their documents can be long.
const MODELS_AT_ONCE: i64 = 20;

/// Rows that are read page by page for one learner, in order of a number of theirs.
struct Pages {
    /// Gives the number first; takes the learner, the number before the page, and the rows of the page.
    query: &'static str,
    at_once: i64,
    what: &'static str,
    /// What is wrong with a row.
    read: fn(&[Cell], &str) -> Result<(), StoreError>,
}

const PAGES: [Pages; 4] = [
    Pages {
        query: "SELECT seq, row, deleted_at FROM examples WHERE learner_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        at_once: ROWS_AT_ONCE,
        what: "example",
        read: |row, what| {
            if row[2] != Cell::Null {
                return Ok(());
            }
            row_codec::decode(row[1].bytes()).map(drop).map_err(|reason| crate::store::failure::damaged(what, reason))
        },
    },
    Pages {
        query: "SELECT position, event FROM journal WHERE learner_id = $1 AND position > $2 ORDER BY position LIMIT $3",
        at_once: ROWS_AT_ONCE,
        what: "event",
        read: |row, what| document::<JournalEvent>(row[1].text(), what).map(drop),
    },
    Pages {
        query: "SELECT version, cause, metrics, model FROM versions WHERE learner_id = $1 AND version > $2
                ORDER BY version LIMIT $3",
        at_once: MODELS_AT_ONCE,
        what: "version",
        read: |row, what| {
            document::<Cause>(row[1].text(), what)?;
            document::<VersionMetrics>(row[2].text(), what)?;
            document::<Model>(row[3].text(), what).map(drop)
        },
    },
    Pages {
        query: "SELECT id, growth FROM tickets WHERE learner_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        at_once: ROWS_AT_ONCE,
        what: "ticket",
        read: |row, what| document::<GrowthOrder>(row[1].text(), what).map(drop),
    },
];

/// Reads everything of every learner of the report.
pub(super) async fn check(raw: &mut Raw, verifier: Verifier<'_>, report: &mut Report) -> Result<(), StoreError> {
    for learner in report.learners.iter().map(|learner| learner.id).collect::<Vec<_>>() {
        let id = [Cell::Integer(learner)];
        let what = format!("learner {learner}");
        for row in raw.rows("SELECT document FROM learners WHERE id = $1", &id).await? {
            note(document::<LearnerDocument>(row[0].text(), &what).map(drop), &mut report.faults)?;
        }
        let what = format!("the checkpoint of learner {learner}");
        for row in raw.rows("SELECT model, progress FROM checkpoints WHERE learner_id = $1", &id).await? {
            note(document::<Model>(row[0].text(), &what).map(drop), &mut report.faults)?;
            note(document::<serde_json::Value>(row[1].text(), &what).map(drop), &mut report.faults)?;
        }
        let what = format!("an answer under an idempotency key of learner {learner}");
        for row in raw.rows("SELECT answer FROM idempotency_keys WHERE learner_id = $1", &id).await? {
            note(document::<Appended>(row[0].text(), &what).map(drop), &mut report.faults)?;
        }
        for pages in &PAGES {
            read(raw, verifier, (learner, pages), &mut report.faults).await?;
        }
    }
    Ok(())
}

async fn read(
    raw: &mut Raw,
    verifier: Verifier<'_>,
    (learner, pages): (i64, &Pages),
    faults: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut last = 0;
    loop {
        let arguments = [Cell::Integer(learner), Cell::Integer(last), Cell::Integer(pages.at_once)];
        let page: Vec<Cells> = raw.rows(pages.query, &arguments).await?;
        if page.is_empty() {
            return Ok(());
        }
        for row in &page {
            last = row[0].integer();
            note((pages.read)(row, &format!("{} {last} of learner {learner}", pages.what)), faults)?;
        }
        (verifier.progress)(pages.what, last.unsigned_abs());
    }
}

/// What is damaged is a fault of the report; anything else ends the verification.
fn note(result: Result<(), StoreError>, faults: &mut Vec<String>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Damaged(reason)) => faults.push(reason),
        result => return result,
    }
    Ok(())
}
