//! Where the server under test keeps everything: a SQLite file, or a database of a Postgres server that dies too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use perennial::serving::loader;
use perennial::store::maintenance::{self, Depth, Verifier};
use perennial::store::{PostgresOptions, PostgresStore, SqliteStore, StoreOptions};
use perennial::training::Store;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

use crate::postgres::PostgresServer;
use crate::process::{PATIENCE, binary};

/// The sessions of processes other than the one that asks.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// The database of a run.
#[derive(Clone)]
pub struct Storage {
    /// The server's data folder; where there is no Postgres, the database is a file in it.
    pub data: PathBuf,
    copy: PathBuf,
    postgres: Option<(Arc<PostgresServer>, String)>,
}

/// A connection of the harness's own, to look with.
pub enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Storage {
    /// A file in a folder of the run's.
    pub fn sqlite(folder: &Path) -> Self {
        Self { data: folder.join("data"), copy: folder.join("copy"), postgres: None }
    }

    /// A new database of this server: a copy of its database `template`.
    pub fn postgres(folder: &Path, server: &Arc<PostgresServer>, template: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("crash_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.run(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Self { postgres: Some((server.clone(), name)), ..Self::sqlite(folder) }
    }

    /// The server of the database, where there is one.
    pub fn server(&self) -> Option<&PostgresServer> {
        self.postgres.as_ref().map(|(server, _)| &**server)
    }

    /// Where the database is on its server; `None`: it is a file.
    fn url(&self) -> Option<String> {
        self.postgres.as_ref().map(|(server, name)| server.url(name))
    }

    /// The name of the database on its server.
    pub fn name(&self) -> &str {
        self.postgres.as_ref().map_or("", |(_, name)| name)
    }

    /// The file of the database, where there is no server.
    fn file(&self) -> PathBuf {
        self.data.join("perennial.db")
    }

    /// The binary under test, told where this database is.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("PERENNIAL_DATA_DIR", &self.data);
        if let Some(url) = self.url() {
            command.env("PERENNIAL_DATABASE", url);
            // Whoever asks while the database is away soon hears that it is.
            command.env("PERENNIAL_STORAGE__CONNECTION_WAIT_MS", "500").env("PERENNIAL_STORAGE__CONNECTIONS", "5");
            command.env("PERENNIAL_FLEET__POLL_MS", "100");
        }
        command
    }

    /// A connection that only looks; `None` while there is nothing to look at.
    pub async fn look(&self) -> Option<Look> {
        match self.url() {
            None => Look::at(&self.file()).await,
            Some(url) => {
                let options: PgConnectOptions = url.parse().expect("the URL of a test's server");
                options.disable_statement_logging().connect().await.ok().map(Look::Postgres)
            }
        }
    }

    /// A look at what a killed process has left.
    pub async fn look_left(&self) -> Result<Look, String> {
        let look = match self.url() {
            None => Look::at(&self.copied()?).await,
            Some(_) => {
                self.nobody_else().await?;
                self.look().await
            }
        };
        look.ok_or_else(|| "the database does not answer".into())
    }

    /// What a killed server has left, open to be read, and verified.
    pub async fn left(&self) -> Result<Arc<dyn Store>, String> {
        let (store, database): (Arc<dyn Store>, _) = match self.url() {
            None => {
                let file = self.copied()?;
                let store = SqliteStore::open_to_read(&file).await.map_err(|error| error.to_string())?;
                (Arc::new(store), maintenance::Database::Sqlite(file))
            }
            Some(url) => {
                self.nobody_else().await?;
                let options = PostgresOptions::parse(&url)?;
                let as_it_is = StoreOptions { migrate: false, ..StoreOptions::default() };
                let store = PostgresStore::open_with(&options, &as_it_is).await.map_err(|error| error.to_string())?;
                (Arc::new(store), maintenance::Database::Postgres(Box::new(options)))
            }
        };
        let loads =
            |version, weights: &[u8]| loader::build(version, weights).map(drop).map_err(|error| error.to_string());
        let verifier = Verifier { depth: Depth::Usual, loads: &loads, progress: &|_, _| {} };
        let report = maintenance::verify(&database, verifier).await.map_err(|error| error.to_string())?;
        match report.faults.as_slice() {
            [] => Ok(store),
            faults => Err(format!("the database is not sound: {}", faults.join("; "))),
        }
    }

    /// Copies the file and its logs: read there, they stay as the killed process left them, and the next one finds them so.
    fn copied(&self) -> Result<PathBuf, String> {
        std::fs::create_dir_all(&self.copy).map_err(|error| error.to_string())?;
        for file in ["perennial.db", "perennial.db-wal", "perennial.db-journal"] {
            let to = self.copy.join(file);
            match std::fs::copy(self.data.join(file), &to) {
                Ok(_) => {}
                Err(_) if file != "perennial.db" => drop(std::fs::remove_file(&to)),
                Err(error) => return Err(format!("{file} cannot be copied: {error}")),
            }
        }
        drop(std::fs::remove_file(self.copy.join("perennial.db-shm")));
        Ok(self.copy.join("perennial.db"))
    }

    /// Returns when the sessions of the killed process have ended: what it had sent may be committed until then.
    async fn nobody_else(&self) -> Result<(), String> {
        let start = Instant::now();
        let mut look = self.look().await.ok_or("the database does not answer")?;
        while look.number(SESSIONS).await != Some(0) {
            if start.elapsed() > PATIENCE {
                return Err("the sessions of a killed process do not end".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        look.close().await;
        Ok(())
    }

    /// Puts the database where the data folder is, to be looked at later: a Postgres server of a test is gone with it.
    pub fn keep(&self) {
        if self.postgres.is_some() {
            let backup = self.data.join("backup.db");
            // There is a fault to be told already; one more is only less to look at.
            self.command(&["backup", &backup.to_string_lossy()]).output().ok();
        }
    }
}

impl Look {
    async fn at(file: &Path) -> Option<Self> {
        let options = SqliteConnectOptions::new().filename(file).pragma("query_only", "ON");
        options.disable_statement_logging().connect().await.ok().map(Self::Sqlite)
    }

    /// Asks for a number; `None` while there is no answer: the tables may not be there yet.
    pub async fn number(&mut self, query: &'static str) -> Option<i64> {
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await.ok(),
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await.ok(),
        }
    }

    /// Asks for texts.
    pub async fn texts(&mut self, query: &str) -> Result<Vec<String>, sqlx::Error> {
        let query = AssertSqlSafe(query.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_all(connection).await,
        }
    }

    /// Ends it.
    pub async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.ok(),
            Self::Postgres(connection) => connection.close().await.ok(),
        };
    }
}
