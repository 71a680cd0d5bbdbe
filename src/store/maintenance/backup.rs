//! Backups: one SQLite file with everything that a database keeps, weights in object stores included.
//!
//! The file is one moment of the database: SQLite's `VACUUM INTO`, or every table of Postgres in one read-only snapshot. It
//! is written under another name, completed, synced and verified, and only then takes its name: a file of that name is a
//! whole backup. While objects are copied the database is told to delete none.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::database::{Database, Purpose, close, connect_sqlite, migrations_of};
use super::objects::ObjectReader;
use super::raw::{Cell, Raw};
use super::verify::{Report, Verifier, verify};
use super::{MaintenanceError, copy, file, tables};
use crate::store::failure::damaged;
use crate::store::objects::{ObjectName, PlacedBlob};
use crate::store::sqlite::migrate;
use crate::store::values::{digest, later, now};

/// The most bytes of a part of a blob.
const PART_BYTES: usize = 4 << 20;

/// For how long the database keeps the objects of rows that are gone. A backup that ends takes that back; one that is killed
/// only delays their deletion.
const OBJECTS_KEPT: time::Duration = time::Duration::DAY;

/// Whether a file in the place of the backup may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    Replace,
}

/// What a backup holds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct BackupReport {
    /// The bytes of its file.
    pub bytes: u64,
    /// How long one moment of the database was held. A SQLite log that grew meanwhile could not be folded into its file.
    pub snapshot_ms: u64,
    /// What its verification found; nothing is wrong. Absent: the database is older than this build, so only its file was
    /// checked.
    pub verified: Option<Report>,
}

/// Backs a database up into a new file.
///
/// # Errors
/// There is a file of that name, the database cannot be read, the disk is full, or the copy is not sound. Then no file of
/// that name was made or changed.
pub async fn backup(
    database: &Database,
    target: &Path,
    existing: Existing,
    verifier: Verifier<'_>,
) -> Result<BackupReport, MaintenanceError> {
    if existing == Existing::Refuse && target.exists() {
        let reason = format!("{} is there already; --force replaces it", target.display());
        return Err(MaintenanceError::Refused(reason));
    }
    let partial = beside(target, "partial")?;
    let written = write(database, &partial, verifier).await;
    let report = match written {
        Ok(report) => report,
        Err(error) => {
            // What is left of it is no backup, whether it can be removed or not.
            std::fs::remove_file(&partial).ok();
            return Err(error);
        }
    };
    if existing == Existing::Refuse && target.exists() {
        std::fs::remove_file(&partial).ok();
        return Err(MaintenanceError::Refused(format!("{} came while the backup was made", target.display())));
    }
    std::fs::rename(&partial, target).map_err(file(target.display()))?;
    sync_folder(target)?;
    Ok(report)
}

/// A file beside another one, of this process.
pub(super) fn beside(path: &Path, what: &str) -> Result<PathBuf, MaintenanceError> {
    let Some(name) = path.file_name() else {
        return Err(MaintenanceError::Refused(format!("{} is no name of a file", path.display())));
    };
    let name = format!(".{}.{}.{what}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

async fn write(database: &Database, partial: &Path, verifier: Verifier<'_>) -> Result<BackupReport, MaintenanceError> {
    remove(partial)?;
    let mut source = database.connect(Purpose::Write).await?;
    let migrations = migrations_of(&mut source).await.map_err(|reason| database.refused(&reason))?;
    if migrations.applied.is_empty() {
        return Err(database.refused("it has no tables of perennial's"));
    }
    let has_objects =
        migrations.pending.is_empty() && source.integer("SELECT COUNT(*) FROM blob_places", &[]).await? > 0;
    let kept_until = later(now(), OBJECTS_KEPT);
    if has_objects {
        keep_objects(&mut source, kept_until).await?;
    }
    let copied = fill(&mut source, partial, has_objects, verifier).await;
    if has_objects {
        let taken_back = "UPDATE object_space SET kept_until = 0 WHERE kept_until = $1";
        source.execute(taken_back, &[Cell::Integer(kept_until)]).await?;
    }
    close(source).await;
    let snapshot = copied?;
    (verifier.progress)("syncing", 0);
    let written = std::fs::File::open(partial).map_err(file(partial.display()))?;
    written.sync_all().map_err(file(partial.display()))?;
    let bytes = written.metadata().map_err(file(partial.display()))?.len();
    let verified = sound(partial, migrations.pending.is_empty(), verifier).await?;
    Ok(BackupReport { bytes, snapshot_ms: u64::try_from(snapshot.as_millis()).unwrap_or(u64::MAX), verified })
}

/// Tells the database to delete no objects for now.
async fn keep_objects(source: &mut Raw, until: i64) -> Result<(), MaintenanceError> {
    let kept = "UPDATE object_space SET kept_until = $1 WHERE kept_until < $1";
    source.execute(kept, &[Cell::Integer(until)]).await?;
    Ok(())
}

/// Fills the file; how long one moment of the database was held for it.
async fn fill(
    source: &mut Raw,
    partial: &Path,
    has_objects: bool,
    verifier: Verifier<'_>,
) -> Result<Duration, MaintenanceError> {
    let start = Instant::now();
    match source {
        Raw::Sqlite(connection) => {
            (verifier.progress)("copying the file", 0);
            let Some(path) = partial.to_str() else {
                return Err(MaintenanceError::Refused("the backup's path is not UTF-8".into()));
            };
            sqlx::query("VACUUM INTO ?").bind(path.to_owned()).execute(connection).await?;
        }
        Raw::Postgres(_) => copy_all(source, partial, verifier).await?,
    }
    let snapshot = start.elapsed();
    let mut target = open(partial, false).await?;
    if migrations_of(&mut target).await.is_ok_and(|migrations| migrations.pending.is_empty()) {
        if has_objects {
            take_objects(source, &mut target, verifier).await?;
        }
        leave_behind(&mut target).await?;
    }
    close(target).await;
    Ok(snapshot)
}

/// Copies every table of Postgres as it was at one moment.
async fn copy_all(source: &mut Raw, partial: &Path, verifier: Verifier<'_>) -> Result<(), MaintenanceError> {
    let tables = tables::known().await?;
    let Raw::Sqlite(mut target) = open(partial, true).await? else {
        return Err(MaintenanceError::Refused("a backup is a SQLite file".into()));
    };
    migrate::apply(&mut target, &migrate::MIGRATIONS).await.map_err(MaintenanceError::Refused)?;
    source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &[]).await?;
    let mut transaction = target.begin().await?;
    for table in &tables {
        copy::into_sqlite(source, &mut transaction, table, verifier.progress).await?;
    }
    for (table, last) in last_numbers(source, &tables).await? {
        sqlx::query(
            "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq)
                     VALUES ((SELECT rowid FROM sqlite_sequence WHERE name = ?1), ?1, ?2)",
        )
        .bind(table)
        .bind(last)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    source.execute("COMMIT", &[]).await?;
    target.close().await?;
    Ok(())
}

/// The last number that each table's sequence gave, so that a deleted learner's number never comes again.
async fn last_numbers(source: &mut Raw, tables: &[tables::Table]) -> Result<Vec<(String, i64)>, MaintenanceError> {
    let mut last = Vec::new();
    for table in tables.iter().filter(|table| table.columns.iter().any(|column| column.name == "id")) {
        let sequence = "SELECT pg_get_serial_sequence($1, 'id')::text";
        let found = source.row(sequence, &[Cell::Text(table.name.clone())]).await?;
        if found[0] == Cell::Null {
            continue;
        }
        let number = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}", found[0].text());
        last.push((table.name.clone(), source.integer(&number, &[]).await?));
    }
    Ok(last)
}

/// Takes the bytes of blobs that lie in object stores into the file.
async fn take_objects(source: &mut Raw, target: &mut Raw, verifier: Verifier<'_>) -> Result<(), MaintenanceError> {
    let objects = ObjectReader::new(source).await?;
    // Urls are the database's: a copy of Postgres has none of its own.
    let mut last = i64::MIN;
    let mut taken = 0;
    loop {
        let next = "SELECT id, digest, place_id FROM blobs WHERE complete = 1 AND place_id IS NOT NULL AND id > $1
                    ORDER BY id LIMIT 1";
        let rows = target.rows(next, &[Cell::Integer(last)]).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        last = row[0].integer();
        let what = format!("blob {last}");
        let digest = digest(row[1].bytes(), &what)?;
        let place = row[2].integer();
        let url = source.row("SELECT url FROM blob_places WHERE id = $1", &[Cell::Integer(place)]).await?;
        let blob = PlacedBlob { name: ObjectName { digest, row: last }, place };
        let bytes = objects.get(&blob, url[0].text()).await?;
        let bytes = bytes.ok_or_else(|| damaged(format_args!("{what} ({})", digest.to_hex()), "has no object"))?;
        let mut parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        for (number, part) in parts.into_iter().enumerate() {
            let arguments = [Cell::Integer(last), Cell::Integer(number as i64), Cell::Bytes(part.to_vec())];
            target.execute("INSERT INTO blob_parts (blob_id, part, bytes) VALUES ($1, $2, $3)", &arguments).await?;
        }
        target.execute("UPDATE blobs SET place_id = NULL WHERE id = $1", &[Cell::Integer(last)]).await?;
        taken += 1;
        (verifier.progress)("weights from object stores", taken);
    }
}

/// Leaves out of the file what only its database can use: uploads under way, and where its objects were.
async fn leave_behind(target: &mut Raw) -> Result<(), MaintenanceError> {
    for statement in [
        "DELETE FROM blobs WHERE complete = 0",
        "DELETE FROM blob_parts WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = blob_id)",
        "UPDATE blobs SET claims = 0 WHERE claims <> 0",
        "DELETE FROM blob_places",
        "UPDATE object_space SET namespace = lower(hex(randomblob(16))), kept_until = 0",
    ] {
        target.execute(statement, &[]).await?;
    }
    Ok(())
}

/// Opens the file that is being written. It needs no log: it is synced as a whole or thrown away. References hold when it is
/// done: until then rows may name places that only their database has.
async fn open(partial: &Path, create: bool) -> Result<Raw, MaintenanceError> {
    let options = SqliteConnectOptions::new()
        .filename(partial)
        .create_if_missing(create)
        .foreign_keys(false)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off);
    connect_sqlite(options).await.map_err(MaintenanceError::Refused)
}

async fn sound(partial: &Path, current: bool, verifier: Verifier<'_>) -> Result<Option<Report>, MaintenanceError> {
    let copy = Database::Sqlite(partial.to_owned());
    (verifier.progress)("verifying", 0);
    if current {
        let report = verify(&copy, verifier).await?;
        if report.faults.is_empty() {
            return Ok(Some(report));
        }
        return Err(MaintenanceError::Faulty { what: "the database".into(), faults: report.faults });
    }
    let mut connection = copy.connect(Purpose::Read).await?;
    let found = connection.rows("PRAGMA integrity_check", &[]).await?;
    close(connection).await;
    let faults: Vec<String> = found.iter().map(|row| row[0].text().to_owned()).filter(|text| text != "ok").collect();
    if faults.is_empty() { Ok(None) } else { Err(MaintenanceError::Faulty { what: "the database".into(), faults }) }
}

/// Removes what a killed process left of the same name.
pub(super) fn remove(path: &Path) -> Result<(), MaintenanceError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file(path.display())(error)),
        _ => Ok(()),
    }
}

/// Makes a new name in a folder durable.
fn sync_folder(path: &Path) -> Result<(), MaintenanceError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = std::fs::File::open(folder).map_err(file(folder.display()))?;
    opened.sync_all().map_err(file(folder.display()))
}
