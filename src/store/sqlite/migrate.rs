//! Migrations of a SQLite file: each in one transaction that holds the write lock, with the row that says it was applied.
//!
//! Two processes may start on one file at once: each looks again under the lock. What fails, or is killed, leaves the file
//! as it was. Called when a file is opened and by `store::maintenance`.

use std::sync::LazyLock;

use sqlx::migrate::{AppliedMigration, Migrate as _, Migrator};
use sqlx::{Executor as _, SqliteConnection};

use crate::store::migrations::{Migration, Migrations, compare, embedded};

/// What this build knows.
pub(in crate::store) static MIGRATIONS: LazyLock<Migrator> = embedded! {
    "sqlite":
    "0001_tables",
    "0002_corrections",
    "0003_aliases",
    "0004_blobs_in_object_stores",
    "0005_fleet",
};

/// Where sqlx keeps what was applied: the first release did, so it stays the place.
const TABLE: &str = "_sqlx_migrations";

/// Where a file stands; nothing is written.
///
/// # Errors
/// It cannot be read, or was written by a newer or another build.
pub(in crate::store) async fn state(connection: &mut SqliteConnection, known: &Migrator) -> Result<Migrations, String> {
    compare(known, &applied(connection).await.map_err(|error| error.to_string())?)
}

/// Applies what is pending; what was.
///
/// # Errors
/// As [`state`], or a migration failed: then it left nothing, and those before it stand.
pub(in crate::store) async fn apply(
    connection: &mut SqliteConnection,
    known: &Migrator,
) -> Result<Vec<Migration>, String> {
    let mut done = Vec::new();
    while let Some(next) = state(connection, known).await?.pending.first() {
        connection.execute("BEGIN IMMEDIATE").await.map_err(|error| error.to_string())?;
        match apply_one(connection, known, next).await {
            Ok(applied) => {
                connection.execute("COMMIT").await.map_err(|error| error.to_string())?;
                done.extend(applied.then(|| next.clone()));
            }
            Err(reason) => {
                let number = next.number;
                // What cannot be rolled back is, when the connection closes.
                connection.execute("ROLLBACK").await.ok();
                return Err(format!("migration {number} failed and left nothing behind: {reason}"));
            }
        }
    }
    Ok(done)
}

/// Applies one migration under the write lock; `false` if another process was faster.
async fn apply_one(connection: &mut SqliteConnection, known: &Migrator, next: &Migration) -> Result<bool, String> {
    let say = |error: sqlx::Error| error.to_string();
    connection.ensure_migrations_table(TABLE).await.map_err(|error| error.to_string())?;
    let found = applied(connection).await.map_err(say)?;
    if compare(known, &found)?.pending.iter().all(|pending| pending.number != next.number) {
        return Ok(false);
    }
    let migration = known.iter().find(|migration| migration.version == next.number);
    let migration = migration.expect("what is pending is known");
    connection.execute(migration.sql.clone()).await.map_err(say)?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (?, ?, TRUE, ?, -1)",
    )
    .bind(migration.version)
    .bind(migration.description.to_string())
    .bind(migration.checksum.to_vec())
    .execute(connection)
    .await
    .map_err(say)?;
    Ok(true)
}

async fn applied(connection: &mut SqliteConnection) -> Result<Vec<AppliedMigration>, sqlx::Error> {
    let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if there == 0 {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(version, checksum)| AppliedMigration { version, checksum: checksum.into() }).collect())
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::store::migrations::migrator;

    async fn tables(connection: &mut SqliteConnection) -> Vec<String> {
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
            .fetch_all(connection)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_everything_as_it_was() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let broken = migrator(&[
            ("0001_one", "-- One.\nCREATE TABLE one (a)"),
            ("0002_two", "-- Two.\nCREATE TABLE two (a); INSERT INTO nowhere VALUES (1)"),
        ]);
        let reason = apply(&mut connection, &broken).await.unwrap_err();
        assert!(reason.contains("migration 2") && reason.contains("nowhere"), "{reason}");
        assert_eq!(tables(&mut connection).await, ["one"]);
        assert_eq!(state(&mut connection, &broken).await.unwrap().pending.len(), 1);
        let mended =
            migrator(&[("0001_one", "-- One.\nCREATE TABLE one (a)"), ("0002_two", "-- Two.\nCREATE TABLE two (a)")]);
        let done = apply(&mut connection, &mended).await.unwrap();
        assert_eq!(done, [Migration { number: 2, reason: "Two.".into() }]);
        assert_eq!(tables(&mut connection).await, ["one", "two"]);
        assert!(apply(&mut connection, &mended).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn processes_that_start_at_once_migrate_a_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("perennial.db");
        let mut starts = Vec::new();
        for _ in 0..4 {
            let path = path.clone();
            starts.push(tokio::spawn(async move { crate::store::SqliteStore::open(&path).await.map(drop) }));
        }
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
}
