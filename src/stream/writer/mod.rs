//! The group-commit writer: one task, a bounded queue, many requests in one transaction.
//!
//! While one transaction is under way the requests that arrive queue up, and the next transaction takes all of them.
//! Every request is answered after its commit, and never before. Called by the HTTP edge.

mod committer;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::committer::{Committer, Request};
use self::keys::KeysInProgress;
use super::appended::Appended;
use super::ids::{LearnerId, Seq};
use super::store::{Append, AppendRefusal, StoreError, StreamStore};
use crate::config::IngestConfig;
use crate::metrics::IngestMetrics;

/// Why a request was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The queue is full: try again after a second. A 429.
    #[error("too many examples are waiting to be written")]
    QueueFull,
    /// A request under the same idempotency key is in progress. A 409.
    #[error("a request with the same idempotency key is in progress")]
    InProgress,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// This request was refused.
    #[error(transparent)]
    Refused(#[from] AppendRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Called after a commit, on the writer's task, with a learner's new head: it must return at once.
pub type Committed = Arc<dyn Fn(LearnerId, Seq) + Send + Sync>;

/// The handle of the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Request>,
    keys: KeysInProgress,
    stop: CancellationToken,
    task: TaskTracker,
}

impl Writer {
    /// Starts the writer task. After every commit `committed` is called with each learner's new head.
    pub fn start(
        store: Arc<dyn StreamStore>,
        config: &IngestConfig,
        metrics: IngestMetrics,
        committed: Committed,
    ) -> Self {
        let (queue, requests) = mpsc::channel(config.queue.max(1));
        let stop = CancellationToken::new();
        let task = TaskTracker::new();
        let committer = Committer::new(store, config.commit_examples, metrics, committed);
        task.spawn(committer.run(requests, stop.clone()));
        task.close();
        Self { queue, keys: KeysInProgress::default(), stop, task }
    }

    /// Queues a request and waits until it is on disk. Cancelling the call does not cancel the write.
    pub async fn write(&self, request: Append) -> Result<Appended, WriteError> {
        // The claim travels with the request: it ends when the request is answered, not when its caller goes away.
        let claim = match &request.key {
            Some(key) => Some(self.keys.claim(request.learner, &key.key).ok_or(WriteError::InProgress)?),
            None => None,
        };
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Request { append: request, claim, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
        })?;
        answered.await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Takes no more, writes what is queued, and returns.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}
