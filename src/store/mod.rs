//! The database behind the traits of `stream`, `registry` and `training`: SQLite in one file, or Postgres.
//!
//! The invariant of every store: what a call answered `Ok` to is on disk, and what it refused changed nothing. One
//! suite of tests runs over every store. What is not SQL is written once, here: how values stand in columns, how rows are
//! read, what becomes of an append. Opened by `cli`; everybody else sees `dyn Store`.

mod alias_entry;
mod appending;
mod blob_bytes;
mod columns;
mod commits;
mod failure;
pub mod maintenance;
pub mod migrations;
mod objects;
mod options;
mod placement;
mod pool_counts;
pub mod postgres;
mod rows;
pub mod sqlite;
mod values;

#[cfg(test)]
mod suite;

pub use options::StoreOptions;
pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::{SoleProcess, SqliteStore};

use std::sync::Arc;

use crate::config::{Config, Database};
use crate::stream::StoreError;
use crate::training::Store;

/// Opens the database that the configuration names.
///
/// # Errors
/// It cannot be opened; the text says why and names the database, never its password.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let options = StoreOptions::from(&config.storage);
    match config.database().map_err(|error| StoreError::Unavailable(error.to_string()))? {
        Database::Sqlite(path) => Ok(Arc::new(SqliteStore::open_with(&path, &options).await?)),
        Database::Postgres(url) => {
            let connecting = PostgresOptions::configured(&url, &config.storage).map_err(StoreError::Unavailable)?;
            Ok(Arc::new(PostgresStore::open_with(&connecting, &options).await?))
        }
    }
}
