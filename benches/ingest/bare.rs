//! The bare cost: the same rows into the same table with the same indexes and settings, by sqlx alone.

use std::time::Instant;

use perennial::stream::EncodedExample;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

use crate::places::Place;
use crate::rows::DataSet;

/// Rows of one statement on SQLite, as many as the store's largest has.
const IN_A_STATEMENT: usize = 256;

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    Synced,
    /// To see what the rest costs.
    Unsynced,
}

/// How much is written.
#[derive(Clone, Copy)]
pub struct Amount {
    pub rows: usize,
    pub in_a_commit: usize,
}

/// Rows a second. The first commit, which prepares the statements, is not timed.
pub async fn run(place: &Place, data: &DataSet, amount: Amount, commits: Commits) -> f64 {
    // It makes the tables.
    place.open().await.close().await;
    let encoded: Vec<EncodedExample> = data.examples.iter().cloned().map(EncodedExample::from).collect();
    let in_a_commit = amount.in_a_commit.max(1);
    let rows: Vec<&EncodedExample> = encoded.iter().cycle().take(in_a_commit + amount.rows).collect();
    let (first, rows) = rows.split_at(in_a_commit);
    let mut connection = Bare::connect(place, commits).await;
    connection.commit(1, first).await;
    let began = Instant::now();
    let mut seq = 1 + first.len() as i64;
    for rows in rows.chunks(in_a_commit) {
        connection.commit(seq, rows).await;
        seq += rows.len() as i64;
    }
    let seconds = began.elapsed().as_secs_f64();
    connection.close().await;
    rows.len() as f64 / seconds
}

enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Bare {
    async fn connect(place: &Place, commits: Commits) -> Self {
        let Some(database) = &place.postgres else {
            let synced = match commits {
                Commits::Synced => SqliteSynchronous::Full,
                Commits::Unsynced => SqliteSynchronous::Off,
            };
            let mut connection = SqliteConnectOptions::new()
                .filename(place.file())
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synced)
                .pragma("wal_autocheckpoint", "32768")
                .pragma("cache_size", "-32000")
                .disable_statement_logging()
                .connect()
                .await
                .expect("a connection");
            let head = "INSERT INTO streams (learner_id, head) VALUES (1, 0)";
            sqlx::query(head).execute(&mut connection).await.expect("a head");
            return Self::Sqlite(connection);
        };
        let mut connection = database.connect().await;
        if commits == Commits::Unsynced {
            sqlx::query("SET synchronous_commit = off").execute(&mut connection).await.expect("a setting");
        }
        let head = "INSERT INTO streams (learner_id, head) VALUES (1, 0)";
        sqlx::query(head).execute(&mut connection).await.expect("a head");
        Self::Postgres(connection)
    }

    /// One transaction: rows from this place on, and the head.
    async fn commit(&mut self, first: i64, rows: &[&EncodedExample]) {
        match self {
            Self::Sqlite(connection) => to_sqlite(connection, first, rows).await.expect("a commit"),
            Self::Postgres(connection) => to_postgres(connection, first, rows).await.expect("a commit"),
        }
    }

    async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.expect("closed"),
            Self::Postgres(connection) => connection.close().await.expect("closed"),
        }
    }
}

async fn to_sqlite(connection: &mut SqliteConnection, first: i64, rows: &[&EncodedExample]) -> Result<(), sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut seq = first;
    for rows in rows.chunks(IN_A_STATEMENT) {
        let places = vec!["(?,?,?,?,?,?,?)"; rows.len()].join(",");
        let statement = format!(
            "INSERT INTO examples (learner_id, seq, example_id, label_class, label_number, created_at, row) VALUES {places}"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
        for example in rows {
            let (class, number) = example.label_columns();
            query = query
                .bind(1i64)
                .bind(seq)
                .bind(None::<&str>)
                .bind(class)
                .bind(number)
                .bind(0i64)
                .bind(example.row.as_slice());
            seq += 1;
        }
        query.execute(&mut *connection).await?;
    }
    let head = sqlx::query("UPDATE streams SET head = ? WHERE learner_id = 1").bind(seq - 1);
    head.execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

async fn to_postgres(connection: &mut PgConnection, first: i64, rows: &[&EncodedExample]) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let (classes, numbers): (Vec<_>, Vec<_>) = rows.iter().map(|example| example.label_columns()).unzip();
    let classes: Vec<Option<&[u8]>> = classes.into_iter().map(|class| class.map(str::as_bytes)).collect();
    sqlx::query(
        "INSERT INTO examples (learner_id, seq, example_id, label_class, label_number, created_at, row)
         SELECT 1, $1 + place - 1, NULL, class, number, 0, bytes
         FROM unnest($2::bytea[], $3::float8[], $4::bytea[]) WITH ORDINALITY AS new (class, number, bytes, place)",
    )
    .bind(first)
    .bind(classes)
    .bind(numbers)
    .bind(rows.iter().map(|example| example.row.as_slice()).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    let head = sqlx::query("UPDATE streams SET head = $1 WHERE learner_id = 1").bind(first - 1 + rows.len() as i64);
    head.execute(&mut *connection).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(())
}
