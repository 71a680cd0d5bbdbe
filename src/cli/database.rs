//! The database of a process that serves or trains, and what may share it.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::{Config, Role};
use crate::store::{SoleProcess, SqliteStore};
use crate::training::{Sharing, Store};

/// An open database.
pub struct Database {
    /// Everything that is kept.
    pub store: Arc<dyn Store>,
    /// Held as long as this process serves a file that only one may serve.
    sole: Option<SoleProcess>,
}

impl Database {
    /// Opens the database of a server.
    ///
    /// # Errors
    /// It cannot be opened, another process owns it, or it cannot be shared as the configuration wants it.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let path = config.sqlite_path()?;
        if config.fleet.role == Role::Api {
            bail!(
                "`--role api` takes workers beside it, and one process owns a SQLite file ({}): run `perennial serve` \
                 without `--role api`, which trains too, or keep the data in Postgres (`--database postgres://…`)",
                path.display()
            );
        }
        let sole = SoleProcess::claim(&path)?;
        let store =
            SqliteStore::open(&path).await.with_context(|| format!("opening the database {}", path.display()))?;
        store.free_leases(&sole).await.context("freeing the leases of a process that is gone")?;
        Ok(Self { store: Arc::new(store), sole: Some(sole) })
    }

    /// Opens the database of a worker.
    ///
    /// # Errors
    /// It cannot be opened, or it cannot be shared.
    pub async fn open_shared(config: &Config) -> anyhow::Result<Self> {
        let path = config.sqlite_path()?;
        bail!(
            "a worker shares its database with servers, and one process owns a SQLite file ({}): `perennial serve` \
             trains what it serves; for workers keep the data in Postgres (`--database postgres://…`)",
            path.display()
        );
    }

    /// Whom this process shares the learners with.
    pub fn sharing(&self, config: &Config) -> Sharing {
        if self.sole.is_some() { Sharing::Alone } else { Sharing::Fleet(config.fleet.clone()) }
    }
}
