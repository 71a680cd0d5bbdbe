//! Work beside the async runtime, and work that goes on when its request goes away.

use tokio::task::JoinHandle;

use super::problem::Problem;

/// Waits for a task of its own; its panic is a problem of the request.
pub async fn unbroken<T>(task: JoinHandle<Result<T, Problem>>) -> Result<T, Problem> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// Bodies up to this size are worked on where they are: that takes less than a change of threads.
const SMALL: usize = 16 << 10;

/// Does the work on a body of `bytes` bytes: on a thread for blocking work, unless the body is small.
pub async fn off_runtime<T, W>(bytes: usize, work: W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, Problem> + Send + 'static,
{
    if bytes <= SMALL { work() } else { unbroken(tokio::task::spawn_blocking(work)).await }
}
