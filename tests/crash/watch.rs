//! Watching the database of a running server, to kill it in the midst of something.

use std::time::Duration;

use crate::storage::Storage;

/// Blobs that no commit has named yet; claims of servers that were killed stay for a while.
pub const BLOBS_IN_FLIGHT: &str =
    "SELECT CAST(coalesce(sum(claims + CASE WHEN complete THEN 0 ELSE 1 END), 0) AS BIGINT) FROM blobs";
/// Growth orders so far.
pub const ORDERS: &str = "SELECT count(*) FROM journal WHERE kind = 'order'";
/// Learners whose rows are being deleted.
pub const DELETIONS: &str = "SELECT count(*) FROM deleted_learners";

/// Pauses between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns once the query's number is larger than when it was first asked; never if it cannot be asked.
pub async fn rises(storage: &Storage, query: &'static str) {
    let Some(mut look) = storage.look().await else { return std::future::pending().await };
    let mut least: Option<i64> = None;
    loop {
        match look.number(query).await {
            Some(number) if least.is_some_and(|least| number > least) => break,
            Some(number) => least = Some(least.map_or(number, |least| least.min(number))),
            // The tables may not be there yet.
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Nobody but the server may have the file open when it is killed: the next one must find its log as it left it.
    look.close().await;
}
