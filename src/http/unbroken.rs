//! Work that goes on when its request goes away.

use tokio::task::JoinHandle;

use super::problem::Problem;

/// Waits for a task of its own; its panic is a problem of the request.
pub async fn unbroken<T>(task: JoinHandle<Result<T, Problem>>) -> Result<T, Problem> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => Err(Problem::internal(&error)),
    }
}
