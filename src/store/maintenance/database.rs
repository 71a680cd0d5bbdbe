//! Which database is looked after, and how it is reached without the store that serves it.

use std::path::PathBuf;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::raw::Raw;
use super::{MaintenanceError, file};
use crate::store::migrations::{Migration, Migrations};
use crate::store::postgres::{self, PostgresOptions};
use crate::store::sqlite;

/// A database of either kind.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database.
    Postgres(Box<PostgresOptions>),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
    Create,
}

impl Database {
    /// What it is called in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(options) => format!("{options:?}"),
        }
    }

    /// Where its tables stand; nothing is written.
    ///
    /// # Errors
    /// It is not there, is no database of perennial's, or was written by a newer or another build.
    pub async fn migrations(&self) -> Result<Migrations, MaintenanceError> {
        let mut connection = self.connect(Purpose::Read).await?;
        let state = migrations_of(&mut connection).await;
        close(connection).await;
        state.map_err(|reason| self.refused(&reason))
    }

    /// Applies what is pending, each migration in a transaction; what was. A database that is not there is created.
    ///
    /// # Errors
    /// As [`Database::migrations`], or a migration failed and left nothing behind.
    pub async fn migrate(&self) -> Result<Vec<Migration>, MaintenanceError> {
        let mut connection = self.connect(Purpose::Create).await?;
        let done = match &mut connection {
            Raw::Sqlite(connection) => sqlite::migrate::apply(connection, &sqlite::migrate::MIGRATIONS).await,
            Raw::Postgres(connection) => postgres::migrate::apply(connection).await,
        };
        close(connection).await;
        done.map_err(|reason| self.refused(&reason))
    }

    /// A connection; a file that is not there is created only if that is the purpose.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Raw, MaintenanceError> {
        match self {
            Self::Sqlite(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                match (purpose, folder) {
                    (Purpose::Create, Some(folder)) => {
                        std::fs::create_dir_all(folder).map_err(file(folder.display()))?;
                    }
                    (Purpose::Read | Purpose::Write, _) if !path.exists() => {
                        return Err(self.refused("there is no such file"));
                    }
                    _ => {}
                }
                let options = sqlite::connection(path)
                    .await
                    .map_err(|reason| self.refused(&reason))?
                    .create_if_missing(purpose == Purpose::Create);
                let options = if purpose == Purpose::Read { options.pragma("query_only", "ON") } else { options };
                connect_sqlite(options).await.map_err(|reason| self.refused(&reason))
            }
            Self::Postgres(options) => {
                postgres::connection(options).await.map(Raw::Postgres).map_err(|reason| self.refused(&reason))
            }
        }
    }

    /// A refusal that names the database.
    pub(super) fn refused(&self, reason: &str) -> MaintenanceError {
        MaintenanceError::Refused(format!("{}: {reason}", self.name()))
    }
}

/// Where the tables of a connection's database stand.
pub(super) async fn migrations_of(connection: &mut Raw) -> Result<Migrations, String> {
    match connection {
        Raw::Sqlite(connection) => sqlite::migrate::state(connection, &sqlite::migrate::MIGRATIONS).await,
        Raw::Postgres(connection) => postgres::migrate::state(connection).await,
    }
}

/// Rows are wide (parts of blobs have 4 MiB): few are read ahead.
pub(super) async fn connect_sqlite(options: SqliteConnectOptions) -> Result<Raw, String> {
    options.row_buffer_size(4).connect().await.map(Raw::Sqlite).map_err(|error| error.to_string())
}

/// Ends a connection; what it did stands or not whatever becomes of the farewell.
pub(super) async fn close(connection: Raw) {
    match connection {
        Raw::Sqlite(connection) => connection.close().await.ok(),
        Raw::Postgres(connection) => connection.close().await.ok(),
    };
}
