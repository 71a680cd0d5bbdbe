//! Opening the database: can it be reached, is it ours, is it as new as we are, and does it keep what it says it keeps.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use super::appender::Appender;
use super::listen::Listening;
use super::{PostgresStore, migrate, session};
use crate::config::StorageConfig;
use crate::store::failure::has_code;
use crate::store::migrations::behind;
use crate::store::objects::{Address, Place, Places};
use crate::store::options::StoreOptions;
use crate::stream::StoreError;
use crate::training::ChangeSender;

/// The keys of a URL's query that are understood. Others are refused, because a misspelt one would be passed over.
const KEYS: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// The first pause between two tries to connect at the start; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a Postgres database is reached. Its text ([`std::fmt::Debug`]) has no password.
#[derive(Clone)]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    connections: u32,
    wait: Duration,
    patience: Duration,
}

impl PostgresOptions {
    /// Reads `postgres://user:password@host:port/database?…`. What it leaves out comes from `PGHOST`, `PGPASSWORD` and so
    /// on, and from `.pgpass`.
    ///
    /// # Errors
    /// What is wrong with the URL, without quoting it.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some((_, query)) = url.split_once('?') {
            let keys = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next());
            if let Some(key) = keys.flatten().find(|key| !is_known(key)) {
                return Err(format!("unknown key `{key}` in its query"));
            }
        }
        let connect = PgConnectOptions::from_str(url).map_err(|error| match error {
            // Its text may quote the URL.
            sqlx::Error::Configuration(_) => "it cannot be read as postgres://user:password@host:port/database".into(),
            error => error.to_string(),
        })?;
        let connect = match connect.get_application_name() {
            Some(_) => connect,
            None => connect.application_name("perennial"),
        };
        Ok(Self {
            connect: connect.disable_statement_logging(),
            connections: 10,
            wait: Duration::from_secs(10),
            patience: Duration::from_secs(30),
        })
    }

    /// The database at this URL, connected to as a server's configuration wants it.
    ///
    /// # Errors
    /// What is wrong with the URL, without quoting it.
    pub fn configured(url: &str, storage: &StorageConfig) -> Result<Self, String> {
        let options = Self::parse(url).map_err(|reason| format!("storage.database: {reason}"))?;
        Ok(options
            .connections(storage.connections)
            .wait(Duration::from_millis(storage.connection_wait_ms))
            .patience(Duration::from_secs(storage.start_wait_seconds)))
    }

    /// At most so many connections, besides the one that appends and the one that listens.
    pub fn connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    /// A call waits so long for a connection.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Opening waits so long for a server that does not answer yet.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&shown(&self.connect))
    }
}

fn is_known(key: &str) -> bool {
    KEYS.contains(&key) || (key.starts_with("options[") && key.ends_with(']'))
}

/// A database as messages name it: everything but the password.
fn shown(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("postgres://{user}@{}/{database}", socket.display()),
        None => format!("postgres://{user}@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// Connects, checks, migrates.
pub(super) async fn open(options: &PostgresOptions, store: &StoreOptions) -> Result<PostgresStore, StoreError> {
    let name = shown(&options.connect);
    let failed = |reason: String| StoreError::Unavailable(format!("the database {name}: {reason}"));
    let mut connection = connect(options, &name).await.map_err(failed)?;
    check(&mut connection).await.map_err(failed)?;
    bring_up_to_date(&mut connection, store).await.map_err(failed)?;
    // Whether it ends politely does not matter any more.
    connection.close().await.ok();
    let pool_options = PgPoolOptions::new()
        .max_connections(options.connections)
        .acquire_timeout(options.wait)
        .after_connect(|connection, _| Box::pin(session::set_up(connection)));
    // `wait` is what a call may wait for: a start is as patient with these connections as with its first.
    let connected = || pool_options.clone().connect_with(options.connect.clone());
    let pool = patiently(options, &name, connected).await.map_err(failed)?;
    let changes = ChangeSender::default();
    let listening = || Listening::start(&options.connect, &changes);
    let listening = patiently(options, &name, listening).await.map_err(failed)?;
    let places = places(&pool, store).await?;
    let appender = Appender::new(options.connect.clone(), options.wait);
    Ok(PostgresStore { pool, appender, changes, listening: listening.into(), places: places.into() })
}

/// How `store::maintenance` connects: once the server and the database have been checked.
pub(in crate::store) async fn connection(options: &PostgresOptions) -> Result<PgConnection, String> {
    let mut connection = connect(options, &shown(&options.connect)).await?;
    check(&mut connection).await?;
    Ok(connection)
}

/// Applies what is pending, or refuses a database that lacks something and may not be changed; on a connection that waits as
/// long as another process migrates.
async fn bring_up_to_date(connection: &mut PgConnection, store: &StoreOptions) -> Result<(), String> {
    if store.migrate {
        return migrate::apply(connection).await.map(drop);
    }
    let pending = migrate::state(connection).await?.pending;
    if pending.is_empty() { Ok(()) } else { Err(behind(&pending)) }
}

/// Opens the place that new blobs go to; blobs remember it by a row.
async fn places(pool: &PgPool, store: &StoreOptions) -> Result<Places, StoreError> {
    let namespace: String = sqlx::query_scalar("SELECT namespace FROM object_space").fetch_one(pool).await?;
    if store.blobs.is_empty() {
        return Ok(Places::new(namespace, None));
    }
    let url = Address::parse(&store.blobs).map_err(StoreError::Unavailable)?.url();
    sqlx::query("INSERT INTO blob_places (url) VALUES ($1) ON CONFLICT (url) DO NOTHING")
        .bind(url.clone())
        .execute(pool)
        .await?;
    let id: i64 =
        sqlx::query_scalar("SELECT id FROM blob_places WHERE url = $1").bind(url.clone()).fetch_one(pool).await?;
    Ok(Places::new(namespace, Some(Place::open(id, &url)?)))
}

/// Checks the server and the database; nothing is written.
async fn check(connection: &mut PgConnection) -> Result<(), String> {
    session::check_server(connection).await?;
    session::check_owner(connection).await.map_err(|error| match error {
        StoreError::Unavailable(reason) => reason,
        error => error.to_string(),
    })
}

/// Connects, again and again while the server does not answer and there is patience.
async fn connect(options: &PostgresOptions, name: &str) -> Result<PgConnection, String> {
    patiently(options, name, || options.connect.connect()).await
}

/// Tries something again and again while the server does not answer and there is patience.
async fn patiently<T, F: Future<Output = Result<T, sqlx::Error>>>(
    options: &PostgresOptions,
    name: &str,
    attempt: impl Fn() -> F,
) -> Result<T, String> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = options.patience.saturating_sub(start.elapsed()).max(FIRST_PAUSE);
        let reason = match tokio::time::timeout(left, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) if !may_come(&error) => return Err(explain(&error)),
            Ok(Err(error)) => explain(&error),
            Err(_) => "no answer".into(),
        };
        if start.elapsed() + pause >= options.patience {
            let seconds = start.elapsed().as_secs();
            return Err(format!("the server does not answer, tried for {seconds} s: {reason}"));
        }
        tracing::warn!(database = name, %reason, "waiting for the database");
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Whether a server that refuses us so may take us later: it is starting, stopping or full, or not there.
fn may_come(error: &sqlx::Error) -> bool {
    const CANNOT_CONNECT_NOW: [&str; 4] = ["57P03", "57P01", "57P02", "53300"];
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) || has_code(error, &CANNOT_CONNECT_NOW)
}

fn explain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Tls(_) => {
            format!("{error} (a build with the feature `cloud` speaks TLS)")
        }
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("3D000") => "there is no such database; create it first (createdb)".into(),
            Some("28P01" | "28000") => "the server refuses this user, or the password is wrong".into(),
            _ => error.message().into(),
        },
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_has_the_password() {
        let options = PostgresOptions::parse("postgres://ann:s3cret@db.example:5433/stream").unwrap();
        assert_eq!(format!("{options:?}"), "postgres://ann@db.example:5433/stream");
        for bad in ["postgres://ann:s3cret@db:port/x", "postgres://ann:s3cret@db/x?pasword=s3cret", "nonsense s3cret"] {
            let reason = PostgresOptions::parse(bad).unwrap_err();
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_by_its_name() {
        let reason = PostgresOptions::parse("postgres://db/x?sslmod=require").unwrap_err();
        assert!(reason.contains("`sslmod`"), "{reason}");
        assert!(PostgresOptions::parse("postgres://db/x?sslmode=disable&options[search_path]=a").is_ok());
    }
}
