//! Where rows go: a new database of one kind for every run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use perennial::store::{PostgresOptions, PostgresStore, SqliteStore};
use perennial::training::Store;
use tempfile::TempDir;

use crate::servers::{Database, PostgresServer};

/// A kind of database.
#[derive(Clone, Copy)]
pub enum Kind {
    Sqlite,
    /// On this server.
    Postgres(&'static PostgresServer),
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "Postgres",
        }
    }
}

/// A new database, gone with the value.
pub struct Place {
    folder: TempDir,
    /// None: it is a file of the folder.
    pub postgres: Option<Database<'static>>,
}

impl Place {
    pub fn new(kind: Kind) -> Self {
        let postgres = match kind {
            Kind::Sqlite => None,
            Kind::Postgres(server) => Some(Database::new(server)),
        };
        Self { folder: tempfile::tempdir().expect("a folder"), postgres }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SQLite's file.
    pub fn file(&self) -> PathBuf {
        self.folder().join("perennial.db")
    }

    /// Opened as a server opens it, with its tables.
    pub async fn open(&self) -> Arc<dyn Store> {
        match &self.postgres {
            None => Arc::new(SqliteStore::open(&self.file()).await.expect("a store")),
            Some(database) => {
                let options = PostgresOptions::parse(&database.url()).expect("a URL");
                Arc::new(PostgresStore::open(&options).await.expect("a store"))
            }
        }
    }
}
