//! Opening the file: is it ours, is it as new as we are, and with which settings.

use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::SqliteStore;
use crate::stream::StoreError;
use crate::training::ChangeSender;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// "Pern": what the first migration writes into the file's header.
const APPLICATION_ID: i32 = 0x5065_726e;

/// How long a write waits for another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a call waits for a connection. Writers take turns, and a turn takes as long as the disk takes to sync: one that is
/// busy with something else has been seen to take ten seconds. What waits is bounded by queues in front of the store.
const TURN: Duration = Duration::from_secs(30);

/// Reading connections; each has a thread of its own.
const READERS: u32 = 4;

/// Opens the file and brings its tables up to date.
pub(super) async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    let failed = |reason: String| StoreError::Unavailable(format!("the database {}: {reason}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| failed(format!("its folder cannot be created: {error}")))?;
    }
    let length = tokio::fs::metadata(path).await.map_or(0, |found| found.len());
    if length > 0 {
        check_owner(path).await.map_err(failed)?;
    }
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(settings(path).create_if_missing(true))
        .await
        .map_err(|error| failed(explain(&error)))?;
    MIGRATIONS.run(&writer).await.map_err(|error| failed(explain_migration(&error)))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(TURN)
        .test_before_acquire(false)
        .connect_with(settings(path).pragma("query_only", "ON").pragma("cache_size", "-8000"))
        .await
        .map_err(|error| failed(explain(&error)))?;
    Ok(SqliteStore { writer, readers, changes: ChangeSender::default() })
}

/// Opens a file to read it: nothing is created, brought up to date or changed, and every write fails.
pub(super) async fn open_to_read(path: &Path) -> Result<SqliteStore, StoreError> {
    let failed = |reason: String| StoreError::Unavailable(format!("the database {}: {reason}", path.display()));
    if !tokio::fs::try_exists(path).await.unwrap_or(false) {
        return Err(failed("there is no such file".into()));
    }
    check_owner(path).await.map_err(failed)?;
    let pool = async |connections: u32| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(TURN)
            .test_before_acquire(false)
            .connect_with(plain(path).pragma("query_only", "ON").pragma("cache_size", "-8000"))
            .await
            .map_err(|error| failed(explain(&error)))
    };
    let (writer, readers) = (pool(1).await?, pool(READERS).await?);
    check_tables(&readers).await.map_err(failed)?;
    Ok(SqliteStore { writer, readers, changes: ChangeSender::default() })
}

/// Refuses tables that are not exactly those of this build.
async fn check_tables(readers: &SqlitePool) -> Result<(), String> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(readers)
        .await
        .map_err(|error| explain(&error))?;
    let ours = MIGRATIONS.iter().map(|migration| migration.version).max();
    match newest.cmp(&ours) {
        Ordering::Equal => Ok(()),
        Ordering::Less => {
            Err("its tables are of an older version of perennial, and serving it brings them up to date".into())
        }
        Ordering::Greater => Err("it was written by a newer version of perennial".into()),
    }
}

/// Every connection's settings.
///
/// With WAL and `synchronous=FULL` a commit is synced before it is answered; `fullfsync` makes that true on macOS. The
/// log is folded into the file every 16 MiB rather than every 4, and cut back to 64 MiB after an exceptional
/// transaction.
fn settings(path: &Path) -> SqliteConnectOptions {
    plain(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("wal_autocheckpoint", "4096")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-32000")
        .pragma("temp_store", "MEMORY")
        .row_buffer_size(256)
}

fn plain(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging()
}

/// Refuses other programs' files before anything is written into them.
async fn check_owner(path: &Path) -> Result<(), String> {
    let mut connection = plain(path).read_only(true).connect().await.map_err(|error| explain(&error))?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.map_err(|error| explain(&error))?;
    let owner: i32 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| explain(&error))?;
    connection.close().await.map_err(|error| explain(&error))?;
    if tables > 0 && owner != APPLICATION_ID {
        return Err("it belongs to another program".into());
    }
    Ok(())
}

fn explain(error: &sqlx::Error) -> String {
    const SQLITE_NOTADB: &str = "26";
    let code = error.as_database_error().and_then(|error| error.code());
    if code.as_deref() == Some(SQLITE_NOTADB) { "it is no SQLite database".into() } else { error.to_string() }
}

fn explain_migration(error: &MigrateError) -> String {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
            "it was written by a newer version of perennial".into()
        }
        MigrateError::VersionMismatch(_) => "its tables were made by another build of perennial".into(),
        error => error.to_string(),
    }
}
