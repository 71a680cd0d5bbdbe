//! The bare cost: the same rows into the same table with the same indexes and settings, by sqlx alone.

use std::time::Instant;

use perennial::store::SqliteStore;
use perennial::stream::{EncodedExample, StreamStore};
use perennial::training::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::rows::DataSet;

/// Rows of one statement, as many as the store's largest has.
const IN_A_STATEMENT: usize = 64;

/// Examples a second, so many in a transaction.
pub async fn run(data: &DataSet, in_a_commit: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bare.db");
    let store = SqliteStore::open(&path).await.expect("the tables");
    // The trait's method is of a store behind a pointer too.
    assert_eq!(StreamStore::head(&store, perennial::stream::LearnerId(1)).await.expect("readable").0, 0);
    store.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "32768")
        .pragma("cache_size", "-32000")
        .disable_statement_logging()
        .connect()
        .await
        .expect("a connection");
    let examples: Vec<EncodedExample> = data.examples.iter().cloned().map(EncodedExample::from).collect();
    sqlx::query("INSERT INTO streams (learner_id, head) VALUES (1, 0)").execute(&mut connection).await.expect("a head");
    let began = Instant::now();
    let mut seq = 0i64;
    for commit in examples.chunks(in_a_commit.max(1)) {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("a transaction");
        for rows in commit.chunks(IN_A_STATEMENT) {
            let statement = statement(rows.len());
            let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
            for example in rows {
                seq += 1;
                let (class, number) = example.label_columns();
                query = query
                    .bind(1i64)
                    .bind(seq)
                    .bind(None::<&str>)
                    .bind(class)
                    .bind(number)
                    .bind(0i64)
                    .bind(&example.row);
            }
            query.execute(&mut connection).await.expect("rows");
        }
        sqlx::query("UPDATE streams SET head = ? WHERE learner_id = 1")
            .bind(seq)
            .execute(&mut connection)
            .await
            .expect("a head");
        sqlx::query("COMMIT").execute(&mut connection).await.expect("a commit");
    }
    let seconds = began.elapsed().as_secs_f64();
    connection.close().await.expect("closed");
    examples.len() as f64 / seconds
}

fn statement(rows: usize) -> String {
    let places = vec!["(?,?,?,?,?,?,?)"; rows].join(",");
    format!(
        "INSERT INTO examples (learner_id, seq, example_id, label_class, label_number, created_at, row) VALUES {places}"
    )
}
