//! Watching the database of a running server, to kill it in the midst of something.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// Blobs that no commit has named yet; claims of servers that were killed stay for a while.
pub const BLOBS_IN_FLIGHT: &str = "SELECT coalesce(sum(claims + (complete = 0)), 0) FROM blobs";
/// Growth orders so far.
pub const ORDERS: &str = "SELECT count(*) FROM journal WHERE kind = 'order'";
/// Learners whose rows are being deleted.
pub const DELETIONS: &str = "SELECT count(*) FROM deleted_learners";

/// Pauses between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns once the query's number is larger than when it was first asked; never if it cannot be asked.
pub async fn rises(database: &Path, query: &'static str) {
    let options = SqliteConnectOptions::new().filename(database).pragma("query_only", "ON");
    let connection = options.disable_statement_logging().connect().await;
    let Ok(mut connection) = connection else { return std::future::pending().await };
    let mut least: Option<i64> = None;
    loop {
        match asked(&mut connection, query).await {
            Some(number) if least.is_some_and(|least| number > least) => break,
            Some(number) => least = Some(least.map_or(number, |least| least.min(number))),
            // The tables may not be there yet.
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Nobody but the server may have the file open when it is killed: the next one must find its log as it left it.
    connection.close().await.ok();
}

async fn asked(connection: &mut SqliteConnection, query: &'static str) -> Option<i64> {
    sqlx::query_scalar(query).fetch_one(connection).await.ok()
}
