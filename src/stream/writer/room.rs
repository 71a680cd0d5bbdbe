//! Room in the writer's queue: bounded in requests and in bytes, with a measured guess of when there will be more.
//!
//! A request waits for the writer only with room of its own, so what waits is bounded whatever the requests are. A request larger
//! than the whole queue enters an empty one. Used by the writer alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::WriteError;
use super::committer::Request;

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// How much of the rate is that of the newest commit.
const NEWEST: f64 = 0.25;

/// The longest that a client is told to stay away, in seconds.
const LONGEST: f64 = 60.0;

/// Room for one request.
pub struct Room {
    pub(super) slot: mpsc::OwnedPermit<Request>,
    pub(super) bytes: OwnedSemaphorePermit,
}

/// The bounds of the queue; cheap to clone.
#[derive(Clone)]
pub(super) struct Rooms {
    queue: mpsc::Sender<Request>,
    bytes: Arc<Semaphore>,
    most: u32,
    drain: Drain,
}

impl Rooms {
    /// For a queue of this many bytes behind this sender.
    pub fn new(queue: mpsc::Sender<Request>, bytes: usize, drain: Drain) -> Self {
        let most = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).max(1);
        let bytes = Arc::new(Semaphore::new(most as usize));
        Self { queue, bytes, most, drain }
    }

    /// Room for a request of this many bytes, at once.
    pub fn now(&self, bytes: usize) -> Result<Room, WriteError> {
        let full = || WriteError::QueueFull { retry_after: self.drain.retry_after() };
        let slot = self.queue.clone().try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
        })?;
        let bytes = self.bytes.clone().try_acquire_many_owned(self.permits(bytes)).map_err(|_| full())?;
        Ok(Room { slot, bytes })
    }

    /// Room for a request of this many bytes, as soon as there is some; the first that waits is the first to get it.
    pub async fn soon(&self, bytes: usize) -> Result<Room, WriteError> {
        let stopping = |_| WriteError::Stopping;
        let bytes =
            self.bytes.clone().acquire_many_owned(self.permits(bytes)).await.map_err(|_| WriteError::Stopping)?;
        let slot = self.queue.clone().reserve_owned().await.map_err(stopping)?;
        Ok(Room { slot, bytes })
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.most)
    }
}

/// How fast the queue drains; cheap to clone.
#[derive(Clone)]
pub(super) struct Drain {
    waiting: IntGauge,
    /// Examples that wait, apart from the metric: that one is for show.
    examples: Arc<AtomicU64>,
    /// Examples a second over the last commits; none before the first.
    rate: Arc<Mutex<Option<f64>>>,
}

impl Drain {
    /// Nothing waits; `waiting` shows how many examples do.
    pub fn new(waiting: IntGauge) -> Self {
        Self { waiting, examples: Arc::default(), rate: Arc::default() }
    }

    /// Examples wait from now on.
    pub fn queued(&self, examples: usize) {
        let waiting = self.examples.fetch_add(examples as u64, Ordering::Relaxed) + examples as u64;
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Examples that waited are being committed.
    pub fn taken(&self, examples: usize) {
        let waiting = self.examples.fetch_sub(examples as u64, Ordering::Relaxed).saturating_sub(examples as u64);
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// So many examples were committed in that time.
    pub fn committed(&self, examples: usize, time: Duration) {
        let newest = examples as f64 / time.as_secs_f64().max(1e-6);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        *rate = Some(rate.map_or(newest, |rate| rate + NEWEST * (newest - rate)));
    }

    /// In how many seconds what waits now will have been written: from 1 to 60.
    pub fn retry_after(&self) -> u32 {
        let waiting = self.examples.load(Ordering::Relaxed) as f64;
        let rate = *self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.map_or(1.0, |rate| (waiting / rate.max(1e-6)).ceil()).clamp(1.0, LONGEST) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_client_is_told_to_come_back_when_the_queue_has_drained() {
        let metrics = Metrics::new();
        let drain = Drain::new(metrics.ingest.queue_examples.clone());
        assert_eq!(drain.retry_after(), 1, "before anything was measured");
        drain.queued(5_000);
        assert_eq!(metrics.ingest.queue_examples.get(), 5_000);
        drain.committed(1_000, Duration::from_secs(1));
        assert_eq!(drain.retry_after(), 5);
        drain.committed(9_000, Duration::from_secs(1));
        assert_eq!(drain.retry_after(), 2, "3000 a second: a quarter of the newest, the rest of what was");
        drain.queued(1_000_000);
        assert_eq!(drain.retry_after(), 60);
        drain.taken(1_005_000);
        assert_eq!((drain.retry_after(), metrics.ingest.queue_examples.get()), (1, 0));
    }

    #[tokio::test]
    async fn bytes_bound_the_queue_as_requests_do() {
        let (queue, mut requests) = mpsc::channel(2);
        let rooms = Rooms::new(queue, 100 << 10, Drain::new(Metrics::new().ingest.queue_examples));
        let large = rooms.now(1 << 30).expect("a request larger than the queue enters an empty one");
        assert!(matches!(rooms.now(1), Err(WriteError::QueueFull { .. })), "no bytes are left");
        drop(large);
        let first = rooms.now(60 << 10).expect("room");
        let waiting = tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.soon(60 << 10).await.is_ok() }
        });
        drop(first);
        assert!(waiting.await.expect("no panic"), "what waits gets its turn");
        let held = [rooms.now(1).expect("room"), rooms.now(1).expect("room")];
        assert!(matches!(rooms.now(1), Err(WriteError::QueueFull { .. })), "no slot is left");
        drop(held);
        requests.close();
        assert!(matches!(rooms.soon(1).await, Err(WriteError::Stopping)));
    }
}
