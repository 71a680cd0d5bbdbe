//! Opening the file: is it ours, is it as new as we are, and with which settings.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::presence::Presence;
use super::{SqliteStore, migrate};
use crate::store::failure::sqlite_code;
use crate::store::migrations::behind;
use crate::store::objects::{Address, Place, Places};
use crate::store::options::StoreOptions;
use crate::stream::StoreError;
use crate::training::ChangeSender;

/// "Pern": what the first migration writes into the file's header.
const APPLICATION_ID: i32 = 0x5065_726e;

/// What SQLite calls a lock that another connection holds.
const SQLITE_BUSY: i32 = 5;

/// What SQLite calls a write into a file that was opened to read.
pub(super) const SQLITE_READONLY: i32 = 8;

/// How long a write waits for another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a start waits before it asks again for a file that another start is changing.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a call waits for a connection. Writers take turns, and a turn takes as long as the disk takes to sync: one that is
/// busy with something else has been seen to take ten seconds. What waits is bounded by queues in front of the store.
const TURN: Duration = Duration::from_secs(30);

/// Reading connections; each has a thread of its own.
pub(super) const READERS: u32 = 4;

/// Opens the file and brings its tables up to date.
pub(super) async fn open(path: &Path, options: &StoreOptions) -> Result<SqliteStore, StoreError> {
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
        .test_before_acquire(false);
    let writer = while_busy(|| writer.clone().connect_with(settings(path).create_if_missing(true)))
        .await
        .map_err(|error| failed(explain(&error)))?;
    bring_up_to_date(&writer, options).await.map_err(failed)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(TURN)
        .test_before_acquire(false)
        .connect_with(settings(path).pragma("query_only", "ON").pragma("cache_size", "-8000"))
        .await
        .map_err(|error| failed(explain(&error)))?;
    // Folding gives way to everybody: it never waits for a reader or a writer.
    let rester = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TURN)
        .test_before_acquire(false)
        .connect_with(settings(path).pragma("cache_size", "-2000").pragma("busy_timeout", "0"))
        .await
        .map_err(|error| failed(explain(&error)))?;
    let log = log_of(path);
    // A connection that is opened later, after one that failed, finds the file or fails: it never makes an empty one.
    writer.set_connect_options(settings(path));
    let presence = Presence::of(path).map_err(|error| failed(error.to_string()))?;
    let places = Arc::new(places(&writer, options).await?);
    let (changes, presence) = (ChangeSender::default(), Arc::new(presence));
    Ok(SqliteStore { writer, readers, rester, log, changes, presence, places })
}

/// Makes the first connection, and again while another has the file.
///
/// It turns the log on, where there is none yet, and for that needs the file to itself. SQLite waits for other locks
/// but never for this one, since two that held what the other needs would wait for ever: of processes that start on a
/// new file at once, all but one may be refused.
async fn while_busy<T, F: Future<Output = Result<T, sqlx::Error>>>(
    mut connect: impl FnMut() -> F,
) -> Result<T, sqlx::Error> {
    let start = Instant::now();
    loop {
        match connect().await {
            Err(error) if sqlite_code(&error) == Some(SQLITE_BUSY) && start.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Applies what is pending, or refuses a file that lacks something and may not be changed.
async fn bring_up_to_date(writer: &SqlitePool, options: &StoreOptions) -> Result<(), String> {
    let mut connection = writer.acquire().await.map_err(|error| explain(&error))?;
    if options.migrate {
        return migrate::apply(&mut connection, &migrate::MIGRATIONS).await.map(drop);
    }
    let pending = migrate::state(&mut connection, &migrate::MIGRATIONS).await?.pending;
    if pending.is_empty() { Ok(()) } else { Err(behind(&pending)) }
}

/// Opens the place that new blobs go to; blobs remember it by a row.
async fn places(writer: &SqlitePool, options: &StoreOptions) -> Result<Places, StoreError> {
    let namespace: String = sqlx::query_scalar("SELECT namespace FROM object_space").fetch_one(writer).await?;
    if options.blobs.is_empty() {
        return Ok(Places::new(namespace, None));
    }
    let address = Address::parse(&options.blobs).map_err(StoreError::Unavailable)?;
    let url = address.url();
    let find = "SELECT id FROM blob_places WHERE url = ?";
    let mut id: Option<i64> = sqlx::query_scalar(find).bind(url.clone()).fetch_optional(writer).await?;
    if id.is_none() {
        let insert = "INSERT INTO blob_places (url) VALUES (?) ON CONFLICT (url) DO NOTHING";
        sqlx::query(insert).bind(url.clone()).execute(writer).await?;
        id = sqlx::query_scalar(find).bind(url.clone()).fetch_optional(writer).await?;
    }
    let id = id.ok_or_else(|| StoreError::Unavailable("the place of blobs was not kept".into()))?;
    Ok(Places::new(namespace, Some(Place::open(id, &url)?)))
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
    let (writer, readers, rester) = (pool(1).await?, pool(READERS).await?, pool(1).await?);
    check_tables(&readers).await.map_err(failed)?;
    let presence = Arc::new(Presence::of(path).map_err(|error| failed(error.to_string()))?);
    let places = Arc::new(places(&readers, &StoreOptions::default()).await?);
    Ok(SqliteStore { writer, readers, rester, log: log_of(path), changes: ChangeSender::default(), presence, places })
}

/// Refuses tables that are not exactly those of this build.
async fn check_tables(readers: &SqlitePool) -> Result<(), String> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(readers)
        .await
        .map_err(|error| explain(&error))?;
    let ours = migrate::MIGRATIONS.iter().map(|migration| migration.version).max();
    match newest.cmp(&ours) {
        Ordering::Equal => Ok(()),
        Ordering::Less => {
            Err("its tables are of an older version of perennial, and serving it brings them up to date".into())
        }
        Ordering::Greater => Err("it was written by a newer version of perennial".into()),
    }
}

/// The file's log, which stands beside it.
fn log_of(path: &Path) -> Arc<Path> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).into()
}

/// Every connection's settings.
///
/// With WAL and `synchronous=FULL` a commit is synced before it is answered; `fullfsync` makes that true on macOS. The
/// log is folded into the file in idle time ([`super::rest`]); only where there has been none for 128 MiB does a commit do it. It
/// is cut back to 64 MiB after an exceptional transaction.
fn settings(path: &Path) -> SqliteConnectOptions {
    plain(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("wal_autocheckpoint", "32768")
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
    const SQLITE_CANTOPEN: i32 = 14;
    const SQLITE_NOTADB: i32 = 26;
    match sqlite_code(error) {
        Some(SQLITE_NOTADB) => "it is no SQLite database".into(),
        Some(SQLITE_READONLY | SQLITE_CANTOPEN) => format!("this user may not write to it or its folder ({error})"),
        _ => error.to_string(),
    }
}

/// How `store::maintenance` connects to a file that may be served meanwhile; a file of another program is refused.
pub(in crate::store) async fn connection(path: &Path) -> Result<SqliteConnectOptions, String> {
    let length = tokio::fs::metadata(path).await.map_or(0, |found| found.len());
    if length > 0 {
        check_owner(path).await?;
    }
    Ok(plain(path).foreign_keys(true).synchronous(SqliteSynchronous::Full).pragma("temp_store", "MEMORY"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sqlx::Executor as _;

    use super::*;

    #[tokio::test]
    async fn a_start_waits_for_another_that_has_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("perennial.db");
        let mut other = plain(path).create_if_missing(true).connect().await.unwrap();
        other.execute("BEGIN IMMEDIATE; CREATE TABLE half (a)").await.unwrap();
        let (other, refusals) = (&Mutex::new(Some(other)), &Mutex::new(0));
        let mut connection = while_busy(|| async {
            let tried = settings(path).connect().await;
            if tried.is_err() {
                *refusals.lock().unwrap() += 1;
                let other = other.lock().unwrap().take();
                if let Some(mut other) = other {
                    other.execute("COMMIT").await.unwrap();
                }
            }
            tried
        })
        .await
        .unwrap();
        assert_eq!(*refusals.lock().unwrap(), 1, "SQLite itself does not wait");
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
        assert_eq!(journal, "wal");
    }
}
