//! The group-commit writer: one task, a bounded queue, many requests in one transaction.
//!
//! While one transaction is under way the requests that arrive queue up, and the next transaction takes all of them.
//! Every request is answered after its commit, and never before. When nothing waits, the store may rest: that is when it does
//! what would make commits wait. Called by the HTTP edge.

mod committer;
mod keys;
mod room;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::committer::{Committer, Request};
use self::keys::KeysInProgress;
use self::room::{Drain, Rooms};
use super::appended::Appended;
use super::example::EncodedExample;
use super::ids::LearnerId;
use super::store::{Append, AppendRefusal, StoreError, StreamStore};
use crate::config::IngestConfig;
use crate::metrics::IngestMetrics;

/// Why a request was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The queue is full: in so many seconds what waits now will have been written. A 429.
    #[error("too many examples are waiting to be written")]
    QueueFull { retry_after: u32 },
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

pub use self::keys::Claim;
pub use self::room::Room;

/// The handle of the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    rooms: Rooms,
    drain: Drain,
    keys: KeysInProgress,
    stop: CancellationToken,
    task: TaskTracker,
}

impl Writer {
    /// Starts the writer task. Who follows a stream hears of a commit from the store.
    pub fn start(store: Arc<dyn StreamStore>, config: &IngestConfig, metrics: IngestMetrics) -> Self {
        let (queue, requests) = mpsc::channel(config.queue.max(1));
        let stop = CancellationToken::new();
        let task = TaskTracker::new();
        let drain = Drain::new(metrics.queue_examples.clone());
        let rooms = Rooms::new(queue, config.queue_bytes, drain.clone());
        let committer = Committer::new(store, config.commit_examples, metrics, drain.clone());
        task.spawn(committer.run(requests, stop.clone()));
        task.close();
        Self { rooms, drain, keys: KeysInProgress::default(), stop, task }
    }

    /// Queues a request and waits until it is on disk. Cancelling the call does not cancel the write.
    pub async fn write(&self, request: Append) -> Result<Appended, WriteError> {
        let claim = request.key.as_ref().map(|key| self.claim(request.learner, &key.key)).transpose()?;
        let room = self.room_now(weight(&request))?;
        self.queue(room, request, claim).await
    }

    /// Claims an idempotency key: nobody else writes under it until the claim is dropped.
    pub fn claim(&self, learner: LearnerId, key: &str) -> Result<Claim, WriteError> {
        self.keys.claim(learner, key).ok_or(WriteError::InProgress)
    }

    /// Room in the queue for a request of about so many bytes; an error if there is none now.
    pub fn room_now(&self, bytes: usize) -> Result<Room, WriteError> {
        self.rooms.now(bytes)
    }

    /// The same as soon as there is some: for a request of which a part is on disk already.
    pub async fn room_soon(&self, bytes: usize) -> Result<Room, WriteError> {
        self.rooms.soon(bytes).await
    }

    /// Queues a part of a request whose key its caller has claimed, and waits until it is on disk.
    pub async fn write_part(&self, room: Room, part: Append) -> Result<Appended, WriteError> {
        self.queue(room, part, None).await
    }

    async fn queue(&self, room: Room, append: Append, claim: Option<Claim>) -> Result<Appended, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.drain.queued(append.examples.len());
        // The claim travels with the request: it ends when the request is answered, not when its caller goes away.
        room.slot.send(Request { append, claim, bytes: room.bytes, answer });
        answered.await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Takes no more, writes what is queued, and returns.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

/// About how many bytes of memory a request takes.
fn weight(request: &Append) -> usize {
    request.examples.iter().map(EncodedExample::weight).sum()
}
