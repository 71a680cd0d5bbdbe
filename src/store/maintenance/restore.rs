//! Restores: a backup into an empty database of either kind, all of it in one transaction or nothing.
//!
//! It is also the way from SQLite to Postgres and back. Leases are not carried over: whoever held one at the time of the
//! backup holds nothing, and tokens go on far above all that were given since, so that no trainer of the old database can
//! write into the new one.

use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use super::backup::{beside, remove};
use super::database::{Database, Purpose, close};
use super::raw::{Cell, Raw, quoted};
use super::tables::{self, Table};
use super::verify::{Report, Verifier, verify};
use super::{MaintenanceError, copy, file};

/// How far tokens of leases jump: more than any learner is leased between a backup and its restore.
const TOKENS_APART: i64 = 1 << 32;

/// What was restored.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestoreReport {
    /// Rows of all tables.
    pub rows: u64,
    /// What the verification of the new database found; nothing is wrong.
    pub verified: Report,
}

/// Restores a backup into a database without learners, which is created or migrated if need be.
///
/// # Errors
/// The file is no whole backup, or the database has something: then it is unchanged. Or what was restored is not sound.
pub async fn restore(
    backup: &Path,
    database: &Database,
    verifier: Verifier<'_>,
) -> Result<RestoreReport, MaintenanceError> {
    let copy = check_backup(backup, database).await?;
    let source = copy.as_deref().unwrap_or(backup);
    let restored = fill(source, database, verifier).await;
    if let Some(copy) = &copy {
        remove(copy)?;
    }
    let rows = restored?;
    (verifier.progress)("verifying", 0);
    let verified = verify(database, verifier).await?;
    if verified.faults.is_empty() {
        return Ok(RestoreReport { rows, verified });
    }
    Err(MaintenanceError::Faulty { what: "what was restored".into(), faults: verified.faults })
}

/// Whether the file is a whole backup. One of an older build is copied and migrated, and the copy's path given: the backup
/// itself is never written to.
async fn check_backup(backup: &Path, database: &Database) -> Result<Option<PathBuf>, MaintenanceError> {
    let from = Database::Sqlite(backup.to_owned());
    let migrations = from.migrations().await?;
    if migrations.applied.is_empty() {
        return Err(from.refused("it is no backup of perennial's"));
    }
    if !migrations.pending.is_empty() {
        let copy = match database {
            Database::Sqlite(path) => beside(path, "restoring")?,
            Database::Postgres(_) => beside(backup, "restoring")?,
        };
        remove(&copy)?;
        std::fs::copy(backup, &copy).map_err(file(copy.display()))?;
        Database::Sqlite(copy.clone()).migrate().await?;
        return Ok(Some(copy));
    }
    let mut connection = from.connect(Purpose::Read).await?;
    let elsewhere = "SELECT COUNT(*) FROM blobs WHERE complete = 1 AND place_id IS NOT NULL";
    let elsewhere = connection.integer(elsewhere, &[]).await?;
    close(connection).await;
    if elsewhere > 0 {
        return Err(from.refused(&format!(
            "it is no backup but a database, {elsewhere} of whose weights lie in an object store; `perennial backup` makes one"
        )));
    }
    Ok(None)
}

async fn fill(source: &Path, database: &Database, verifier: Verifier<'_>) -> Result<u64, MaintenanceError> {
    let tables = tables::known().await?;
    database.migrate().await?;
    let mut target = database.connect(Purpose::Write).await?;
    let filled = match &mut target {
        Raw::Sqlite(connection) => into_sqlite(source, connection, &tables, verifier).await,
        Raw::Postgres(connection) => into_postgres(source, connection, &tables, verifier).await,
    };
    // A transaction that was not committed ends with its connection.
    close(target).await;
    filled.map_err(|error| match error {
        MaintenanceError::Refused(reason) => database.refused(&reason),
        error => error,
    })
}

async fn into_sqlite(
    source: &Path,
    target: &mut sqlx::SqliteConnection,
    tables: &[Table],
    verifier: Verifier<'_>,
) -> Result<u64, MaintenanceError> {
    let Some(path) = source.to_str() else {
        return Err(MaintenanceError::Refused("the backup's path is not UTF-8".into()));
    };
    sqlx::query("ATTACH ? AS backup").bind(path.to_owned()).execute(&mut *target).await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *target).await?;
    let mut copied = 0;
    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    for name in &names {
        let count = format!("SELECT COUNT(*) FROM main.{}", quoted(name));
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut *target).await?;
        refuse_what_is_there(name, count)?;
    }
    for table in tables {
        let (name, columns) = (quoted(&table.name), table.column_list());
        let fill = format!("INSERT INTO main.{name} ({columns}) SELECT {columns} FROM backup.{name}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&mut *target).await?.rows_affected();
        (verifier.progress)(&table.name, rows);
        copied += rows;
    }
    for statement in [
        "DELETE FROM main.sqlite_sequence WHERE name IN (SELECT name FROM backup.sqlite_sequence)
         AND name <> 'blob_places'",
        "INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM backup.sqlite_sequence
         WHERE name <> 'blob_places'",
    ] {
        sqlx::query(statement).execute(&mut *target).await?;
    }
    sqlx::query(DROP_LEASES).bind(TOKENS_APART).execute(&mut *target).await?;
    (verifier.progress)("committing", copied);
    sqlx::query("COMMIT").execute(&mut *target).await?;
    sqlx::query("DETACH backup").execute(&mut *target).await?;
    Ok(copied)
}

async fn into_postgres(
    source: &Path,
    target: &mut sqlx::PgConnection,
    tables: &[Table],
    verifier: Verifier<'_>,
) -> Result<u64, MaintenanceError> {
    let mut source = Database::Sqlite(source.to_owned()).connect(Purpose::Read).await?;
    let mut transaction = target.begin().await?;
    for table in tables {
        // Nobody may create a learner meanwhile.
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", quoted(&table.name));
        sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *transaction).await?;
        let count = format!("SELECT COUNT(*) FROM {}", quoted(&table.name));
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut *transaction).await?;
        refuse_what_is_there(&table.name, count)?;
    }
    let mut copied = 0;
    for table in tables {
        copied += copy::into_postgres(&mut source, &mut transaction, table, verifier.progress).await?;
    }
    for row in source.rows("SELECT name, seq FROM sqlite_sequence WHERE seq > 0", &[]).await? {
        let known = tables.iter().any(|table| table.name == row[0].text());
        if let (true, Cell::Text(table), Cell::Integer(last)) = (known, &row[0], &row[1]) {
            sqlx::query("SELECT setval(pg_get_serial_sequence($1, 'id'), $2)")
                .bind(table.clone())
                .bind(*last)
                .execute(&mut *transaction)
                .await?;
        }
    }
    sqlx::query(DROP_LEASES).bind(TOKENS_APART).execute(&mut *transaction).await?;
    (verifier.progress)("committing", copied);
    transaction.commit().await?;
    close(source).await;
    Ok(copied)
}

const DROP_LEASES: &str = "UPDATE leases SET owner = NULL, expires_at = 0, token = token + $1";

fn refuse_what_is_there(table: &str, rows: i64) -> Result<(), MaintenanceError> {
    match (table, rows) {
        (_, 0) => Ok(()),
        ("learners", rows) => Err(MaintenanceError::Refused(format!(
            "it has {rows} learners; a backup is restored into an empty database"
        ))),
        (table, rows) => Err(MaintenanceError::Refused(format!(
            "it has {rows} rows in table {table}; a backup is restored into an empty database"
        ))),
    }
}
