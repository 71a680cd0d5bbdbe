//! Migrations of a Postgres database: each in a transaction, one process at a time (sqlx takes an advisory lock).
//!
//! What fails, or is killed, leaves the database as it was. Called when a database is opened and by `store::maintenance`.

use std::sync::LazyLock;

use sqlx::PgConnection;
use sqlx::migrate::{Migrate as _, Migrator};

use crate::store::migrations::{Migration, Migrations, compare, embedded};

/// What this build knows.
pub(in crate::store) static MIGRATIONS: LazyLock<Migrator> = embedded! {
    "postgres":
    "0001_tables",
    "0002_corrections",
    "0003_aliases",
    "0004_blobs_in_object_stores",
    "0005_fleet",
};

/// Where a database stands; nothing is written.
///
/// # Errors
/// It cannot be read, or was written by a newer or another build.
pub(in crate::store) async fn state(connection: &mut PgConnection) -> Result<Migrations, String> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| error.to_string())?;
    let applied = match there {
        true => connection.list_applied_migrations("_sqlx_migrations").await.map_err(|error| error.to_string())?,
        false => Vec::new(),
    };
    compare(&MIGRATIONS, &applied)
}

/// Applies what is pending; what was.
///
/// # Errors
/// As [`state`], or a migration failed: then it left nothing, and those before it stand.
pub(in crate::store) async fn apply(connection: &mut PgConnection) -> Result<Vec<Migration>, String> {
    let pending = state(connection).await?.pending;
    if !pending.is_empty() {
        MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| error.to_string())?;
    }
    Ok(pending)
}
