//! The suite over Postgres, and what only Postgres can show: other programs' databases, settings of servers, connections
//! that are cut, several processes.

mod crashes;
mod objects;
mod opening;
mod processes;
#[path = "../../../../tests/servers/postgres.rs"]
pub(in crate::store) mod server;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use self::server::{Database, PostgresServer};
use super::{PostgresOptions, PostgresStore};
use crate::store::suite::{Bench, Tables, damage_suite, store_suite};
use crate::training::Store;

/// A database of the shared server; nothing where there is no server.
struct Fresh(Option<Database<'static>>);

impl Fresh {
    fn new() -> Self {
        Self(server::shared().map(Database::new))
    }

    fn database(&self) -> &Database<'static> {
        self.0.as_ref().expect("whoever asks for it has looked whether it is there")
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
        Arc::new(store(self.database()).await)
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

#[async_trait]
impl Tables for Fresh {
    async fn change(&self, statement: &str) {
        let statement = statement.replace(" AS BLOB)", " AS BYTEA)");
        let mut connection = self.database().connect().await;
        let changed = sqlx::query(AssertSqlSafe(statement.as_str())).execute(&mut connection).await.unwrap();
        assert!(changed.rows_affected() > 0, "{statement}");
    }

    async fn count(&self, query: &str) -> i64 {
        let query = format!("SELECT CAST(({query}) AS BIGINT)");
        let mut connection = self.database().connect().await;
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
    }
}

store_suite!(Fresh::new());
damage_suite!(Fresh::new());
