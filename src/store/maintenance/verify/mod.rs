//! Verifying a whole database: is everything that it promises there, dense and undamaged?
//!
//! Works while a server writes: every look is one statement or a short page, what belongs together is asked in one
//! statement, and a fault of a learner that was deleted meanwhile is none. Nothing is written. Faults name rows by their ids
//! and never quote values. Called by `perennial verify`, and on every backup and after every restore.

mod blobs;
mod documents;
mod learners;
mod live;

use serde::Serialize;

use super::database::{Database, Purpose, close, migrations_of};
use super::raw::{Cell, Raw, quoted};
use super::tables::{self, Table};
use super::{MaintenanceError, Progress};
use crate::registry::Version;
use crate::stream::StoreError;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All numbers and references, and the digests of all blobs.
    Usual,
    /// Also every row and document, read as the server reads it, and SQLite's own check of the file: one long read.
    Deep,
}

/// Makes a model of a version and its weights, as the server would to serve it; the reason why it cannot.
pub type Loads<'a> = &'a (dyn Fn(Version, &[u8]) -> Result<(), String> + Send + Sync);

/// What a verification works with.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// How much is looked at.
    pub depth: Depth,
    /// Makes a model of what is live.
    pub loads: Loads<'a>,
    /// Is told how far it is.
    pub progress: Progress<'a>,
}

/// What was found of one learner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LearnerReport {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The newest place of its stream.
    pub head_seq: i64,
    /// Where its trainer stands.
    pub trained_seq: i64,
    /// Events in its journal.
    pub events: i64,
    /// Its versions.
    pub versions: i64,
    /// Those with weights.
    pub weights: i64,
    /// What `live` names.
    pub live: Option<i64>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: i64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The newest migration that was applied.
    pub migration: i64,
    /// Every learner.
    pub learners: Vec<LearnerReport>,
    /// Every table.
    pub tables: Vec<TableReport>,
    /// Complete blobs whose digests were held against their bytes.
    pub blobs: i64,
    /// The bytes of those blobs.
    pub blob_bytes: i64,
    /// What is wrong, by ids.
    pub faults: Vec<String>,
}

/// Verifies a database.
///
/// # Errors
/// It cannot be read, or its tables are not those of this build. What is wrong in it is in the report.
pub async fn verify(database: &Database, verifier: Verifier<'_>) -> Result<Report, MaintenanceError> {
    let mut connection = database.connect(Purpose::Read).await?;
    let report = examine(&mut connection, verifier).await;
    close(connection).await;
    report.map_err(|error| match error {
        MaintenanceError::Refused(reason) => database.refused(&reason),
        error => error,
    })
}

async fn examine(raw: &mut Raw, verifier: Verifier<'_>) -> Result<Report, MaintenanceError> {
    let migrations = migrations_of(raw).await.map_err(MaintenanceError::Refused)?;
    if !migrations.pending.is_empty() {
        return Err(MaintenanceError::Refused(crate::store::migrations::behind(&migrations.pending)));
    }
    let migration = migrations.applied.last().map_or(0, |migration| migration.number);
    let mut report = Report { migration, learners: vec![], tables: vec![], blobs: 0, blob_bytes: 0, faults: vec![] };
    let tables = tables::known().await?;
    learners::check(raw, verifier, &mut report).await?;
    check_owners(raw, &tables, &mut report.faults).await?;
    blobs::check(raw, verifier, &mut report).await?;
    live::check(raw, verifier, &mut report).await?;
    if verifier.depth == Depth::Deep {
        documents::check(raw, verifier, &mut report).await?;
        check_file(raw, verifier, &mut report.faults).await?;
    }
    for table in &tables {
        (verifier.progress)("counting rows", report.tables.len() as u64);
        let rows = raw.integer(&format!("SELECT COUNT(*) FROM {}", quoted(&table.name)), &[]).await?;
        report.tables.push(TableReport { table: table.name.clone(), rows });
    }
    Ok(report)
}

/// Rows of learners that are neither there nor being deleted.
async fn check_owners(raw: &mut Raw, tables: &[Table], faults: &mut Vec<String>) -> Result<(), StoreError> {
    for table in tables.iter().filter(|table| table.is_of_learners() && table.name != "deleted_learners") {
        let name = quoted(&table.name);
        let mut last = i64::MIN;
        loop {
            let next = format!("SELECT MIN(learner_id) FROM {name} WHERE learner_id > $1");
            let Some(learner) = raw.row(&next, &[Cell::Integer(last)]).await?[0].number() else { break };
            last = learner;
            let owned = "SELECT COUNT(*) FROM (SELECT id FROM learners WHERE id = $1
                         UNION ALL SELECT learner_id FROM deleted_learners WHERE learner_id = $1) AS owners";
            if raw.integer(owned, &[Cell::Integer(learner)]).await? > 0 {
                continue;
            }
            // The mark of a deleted learner goes after its rows: what is still there now has no owner.
            let still = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {name} WHERE learner_id = $1 LIMIT 1) AS rest");
            if raw.integer(&still, &[Cell::Integer(learner)]).await? > 0 {
                faults.push(format!("table {}: rows of learner {learner}, which is not there", table.name));
            }
        }
    }
    Ok(())
}

/// SQLite's own check of pages, indexes and references.
async fn check_file(raw: &mut Raw, verifier: Verifier<'_>, faults: &mut Vec<String>) -> Result<(), StoreError> {
    if !matches!(raw, Raw::Sqlite(_)) {
        return Ok(());
    }
    (verifier.progress)("checking the file", 0);
    for row in raw.rows("PRAGMA integrity_check", &[]).await? {
        if row[0].text() != "ok" {
            faults.push(format!("SQLite: {}", row[0].text()));
        }
    }
    for row in raw.rows("PRAGMA foreign_key_check", &[]).await? {
        faults.push(format!("table {}: a row refers to one of {} that is not there", row[0].text(), row[2].text()));
    }
    Ok(())
}
