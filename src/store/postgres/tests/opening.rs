//! What is refused when a database is opened, and what every connection is set to.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{UnixListener, UnixStream};

use super::{Database, Fresh, PostgresOptions, PostgresServer, PostgresStore, options, server, store};
use crate::store::suite::Bench as _;
use crate::stream::StoreError;
use crate::training::{Store as _, TrainingStore as _};

async fn fails(options: &PostgresOptions) -> String {
    match PostgresStore::open(options).await {
        Err(StoreError::Unavailable(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the database was opened"),
    }
}

async fn run(database: &Database<'_>, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut database.connect().await).await.unwrap();
}

#[tokio::test]
async fn every_connection_waits_for_the_synced_log_whatever_the_database_is_set_to() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let database = fresh.database();
    run(database, &format!("ALTER DATABASE {} SET synchronous_commit = off", database.name())).await;
    let seen: String =
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(seen, "off", "the database is set so");
    let store = store(database).await;
    let mut transaction = store.write().await.unwrap();
    let set: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(set, "on");
    let name: String = sqlx::query_scalar("SHOW application_name").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(name, "perennial");
    transaction.roll_back().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn another_programs_tables_are_refused_and_left_alone() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let database = fresh.database();
    run(database, "CREATE TABLE learners (id BIGINT); CREATE TABLE others (id BIGINT)").await;
    let reason = fails(&options(database)).await;
    assert!(reason.contains("another program") && reason.contains(database.name()), "{reason}");
    let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(tables, 2);
}

#[tokio::test]
async fn a_newer_postgres_database_is_refused() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    store(fresh.database()).await.close().await;
    run(
        fresh.database(),
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, execution_time
         FROM _sqlx_migrations LIMIT 1",
    )
    .await;
    let reason = fails(&options(fresh.database())).await;
    assert!(reason.contains("newer version"), "{reason}");
}

#[tokio::test]
async fn two_processes_may_bring_the_tables_up_to_date_at_once() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let options = options(fresh.database());
    let (one, other) = tokio::join!(PostgresStore::open(&options), PostgresStore::open(&options));
    one.unwrap().close().await;
    other.unwrap().close().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_or_cannot_hold_every_text_is_named() {
    let Some(server) = server::shared() else { return };
    let missing = PostgresOptions::parse(&server.url("nowhere")).unwrap();
    let reason = fails(&missing).await;
    assert!(reason.contains("no such database") && reason.contains("nowhere"), "{reason}");
    server.run("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
    let reason = fails(&PostgresOptions::parse(&server.url("ascii")).unwrap()).await;
    assert!(reason.contains("UTF8"), "{reason}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_and_no_longer_than_asked() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres:///stream?user=ann&password=s3cret&host={}", folder.path().display());
    let options = PostgresOptions::parse(&url).unwrap().patience(Duration::from_millis(300));
    let reason = fails(&options).await;
    assert!(reason.contains("does not answer") && reason.contains("stream"), "{reason}");
    assert!(!reason.contains("s3cret"), "{reason}");
}

/// Stands before a server and lets everybody in but those of these numbers, who wait until they give up.
async fn doorkeeper(door: UnixListener, server: std::path::PathBuf, kept_waiting: std::ops::Range<usize>) {
    let mut waiting = Vec::new();
    for number in 0.. {
        let (mut guest, _) = door.accept().await.unwrap();
        if kept_waiting.contains(&number) {
            waiting.push(guest);
            continue;
        }
        let mut inside = UnixStream::connect(&server).await.unwrap();
        // A guest may go in the middle of a word.
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut guest, &mut inside).await.ok() });
    }
}

/// A start was once given up when its second connection took longer than a call may wait.
#[tokio::test]
async fn a_start_is_patient_with_every_connection_whatever_a_call_may_wait() {
    let Some(server) = server::shared() else { return };
    let database = Database::new(server);
    let inside: PgConnectOptions = database.url().parse().unwrap();
    let socket = format!(".s.PGSQL.{}", inside.get_port());
    let folder = tempfile::tempdir().unwrap();
    let door = UnixListener::bind(folder.path().join(&socket)).unwrap();
    let keeper = tokio::spawn(doorkeeper(door, inside.get_socket().unwrap().join(socket), 1..3));
    let url = format!("postgres:///{}?user=perennial&host={}", database.name(), folder.path().display());
    let options = PostgresOptions::parse(&url).unwrap().wait(Duration::from_millis(300));
    let store = PostgresStore::open(&options).await.unwrap();
    assert!(store.learners(None, 1).await.unwrap().is_empty());
    store.close().await;
    keeper.abort();
}

#[tokio::test]
async fn a_server_without_fsync_is_refused() {
    let Some(server) = PostgresServer::start() else { return };
    server.run("ALTER SYSTEM SET fsync = off");
    server.run("SELECT pg_reload_conf()");
    // A new connection has the new setting once the postmaster has read it.
    while server.ask("SHOW fsync") == "on" {
        tokio::task::yield_now().await;
    }
    let reason = fails(&PostgresOptions::parse(&server.url("postgres")).unwrap()).await;
    assert!(reason.contains("fsync off"), "{reason}");
}
