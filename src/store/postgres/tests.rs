//! The suite over Postgres, and what only Postgres can show.

#[path = "../../../tests/servers/postgres.rs"]
mod server;

use std::sync::Arc;

use async_trait::async_trait;

use self::server::Database;
use super::{PostgresOptions, PostgresStore};
use crate::store::suite::{Bench, store_suite};
use crate::training::Store;

/// A database of the shared server; nothing where there is no server.
struct Fresh(Option<Database<'static>>);

impl Fresh {
    fn new() -> Self {
        Self(server::shared().map(Database::new))
    }
}

fn options(database: &Database<'_>) -> PostgresOptions {
    PostgresOptions::parse(&database.url()).unwrap()
}

async fn store(database: &Database<'_>) -> PostgresStore {
    PostgresStore::open(&options(database)).await.unwrap()
}

#[async_trait]
impl Bench for Fresh {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(store(self.0.as_ref().unwrap()).await)
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

store_suite!(Fresh::new());
