//! The group-commit writer: one task, a bounded queue, many requests in one transaction.

use std::sync::Arc;

use super::ids::{LearnerId, Seq};
use super::store::{Append, AppendRefusal, Appended, StoreError, StreamStore};
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

/// The handle of the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {}

impl Writer {
    /// Starts the writer task. After every commit `committed` is called with each learner's new head.
    pub fn start(
        store: Arc<dyn StreamStore>,
        config: &IngestConfig,
        metrics: IngestMetrics,
        committed: Arc<dyn Fn(LearnerId, Seq) + Send + Sync>,
    ) -> Self {
        let _ = (store, config, metrics, committed);
        unimplemented!("helper C")
    }

    /// Queues a request and waits until it is on disk. Cancelling the call does not cancel the write.
    pub async fn write(&self, request: Append) -> Result<Appended, WriteError> {
        let _ = request;
        unimplemented!("helper C")
    }

    /// Takes no more, writes what is queued, and returns.
    pub async fn stop(&self) {
        unimplemented!("helper C")
    }
}
