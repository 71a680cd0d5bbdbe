//! The database of a process that serves or trains, and what may share it.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::{self, Config, Role};
use crate::store::{self, SoleProcess};
use crate::training::{Sharing, Store, fleet};

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
        let sole = match config.database()? {
            config::Database::Sqlite(path) if config.fleet.role == Role::Api => bail!(
                "`--role api` leaves training to workers, and one process owns a SQLite file ({}): run `perennial serve` \
                 without it, which trains too, or keep the data in Postgres (`--database postgres://…`)",
                path.display()
            ),
            config::Database::Sqlite(path) => Some(SoleProcess::claim(&path)?),
            config::Database::Postgres(_) => None,
        };
        let store = store::open(config).await.context("opening the database")?;
        if sole.is_some()
            && let Err(error) = fleet::free_leases(&*store).await
        {
            // A database that cannot be written to can still be served; the leases run out by themselves.
            tracing::warn!(%error, "the leases of a process that is gone are not freed");
        }
        Ok(Self { store, sole })
    }

    /// Opens the database of a worker.
    ///
    /// # Errors
    /// It cannot be opened, or it cannot be shared.
    pub async fn open_shared(config: &Config) -> anyhow::Result<Self> {
        if let config::Database::Sqlite(path) = config.database()? {
            bail!(
                "a worker shares its database with servers, and one process owns a SQLite file ({}): `perennial serve` \
                 trains what it serves; for workers keep the data in Postgres (`--database postgres://…`)",
                path.display()
            );
        }
        let store = store::open(config).await.context("opening the database")?;
        Ok(Self { store, sole: None })
    }

    /// Whom this process shares the learners with.
    pub fn sharing(&self, config: &Config) -> Sharing {
        if self.sole.is_some() { Sharing::Alone } else { Sharing::Fleet(config.fleet.clone()) }
    }
}
