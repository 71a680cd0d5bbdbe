//! The queue between requests and batching threads: bounded in rows, oldest first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus::IntGauge;
use tokio::sync::oneshot;

use super::model::LoadedModel;
use super::predictor::{Answer, PredictError};
use super::slot::Slot;
use crate::stream::Row;

/// A request that waits for its batch.
pub struct Request {
    /// Whose rows.
    pub slot: Arc<Slot>,
    /// The version that was asked for; `None`: whatever the slot holds when the batch is taken.
    pub version: Option<Arc<LoadedModel>>,
    /// At least one.
    pub rows: Vec<Row>,
    /// After this nobody waits any more.
    pub deadline: Instant,
    /// When it was queued.
    pub queued: Instant,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Answer, PredictError>>,
}

impl Request {
    fn same_model(&self, other: &Self) -> bool {
        let version = |request: &Self| request.version.as_ref().map(|model| model.version);
        Arc::ptr_eq(&self.slot, &other.slot) && version(self) == version(other)
    }
}

/// The queue. Threads block on it; pushing never blocks.
pub struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    limit: usize,
    waiting: IntGauge,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    rows: usize,
    closed: bool,
}

impl Queue {
    /// A queue for `limit` rows; `waiting` shows how many there are.
    pub fn new(limit: usize, waiting: IntGauge) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), limit, waiting }
    }

    /// Queues a request unless the rows would be more than the limit. A request larger than the whole queue enters an
    /// empty one.
    pub fn push(&self, request: Request) -> Result<(), PredictError> {
        let mut state = self.state();
        if state.closed {
            return Err(PredictError::Stopping);
        }
        let rows = request.rows.len();
        if state.rows > 0 && state.rows + rows > self.limit {
            return Err(PredictError::QueueFull);
        }
        state.rows += rows;
        state.requests.push_back(request);
        self.show(&state);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the oldest request and takes it with all others for the same model that fit into `batch_rows`, in
    /// order. The oldest may be larger by itself. `None` once the queue is closed and empty.
    pub fn take(&self, batch_rows: usize) -> Option<Vec<Request>> {
        let mut state = self.state();
        let first = loop {
            if let Some(first) = state.requests.pop_front() {
                break first;
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let mut rows = first.rows.len();
        let mut batch = vec![first];
        let mut index = 0;
        while index < state.requests.len() && rows < batch_rows {
            let next = &state.requests[index];
            if next.same_model(&batch[0]) && rows + next.rows.len() <= batch_rows {
                rows += next.rows.len();
                batch.extend(state.requests.remove(index));
            } else {
                index += 1;
            }
        }
        state.rows -= rows;
        self.show(&state);
        Some(batch)
    }

    /// Takes no more; what is queued is still given out.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    fn show(&self, state: &State) {
        self.waiting.set(i64::try_from(state.rows).unwrap_or(i64::MAX));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use crate::serving::slot::Slots;
    use crate::stream::{LearnerId, LearnerName, Value};

    struct Fixture {
        metrics: Metrics,
        slots: Slots,
        queue: Queue,
    }

    fn fixture(limit: usize) -> Fixture {
        let metrics = Metrics::new();
        let queue = Queue::new(limit, metrics.serving.queue_rows.clone());
        Fixture { metrics, slots: Slots::default(), queue }
    }

    impl Fixture {
        fn request(&self, learner: i64, rows: usize) -> (Request, oneshot::Receiver<Result<Answer, PredictError>>) {
            let name = LearnerName::parse(&format!("learner-{learner}")).unwrap();
            let slot = self.slots.get_or_create(LearnerId(learner), &name, &self.metrics.serving);
            let (answer, receiver) = oneshot::channel();
            let queued = Instant::now();
            let rows = vec![vec![Value::Missing]; rows];
            let deadline = queued + Duration::from_secs(60);
            (Request { slot, version: None, rows, deadline, queued, answer }, receiver)
        }

        fn push(&self, learner: i64, rows: usize) -> Result<(), PredictError> {
            self.queue.push(self.request(learner, rows).0)
        }
    }

    fn sizes(batch: &[Request]) -> Vec<usize> {
        batch.iter().map(|request| request.rows.len()).collect()
    }

    #[test]
    fn a_full_queue_refuses_and_counts_rows_not_requests() {
        let fixture = fixture(10);
        fixture.push(1, 6).unwrap();
        fixture.push(1, 4).unwrap();
        assert!(matches!(fixture.push(1, 1), Err(PredictError::QueueFull)));
        assert_eq!(fixture.metrics.serving.queue_rows.get(), 10);
        fixture.queue.take(100).unwrap();
        assert_eq!(fixture.metrics.serving.queue_rows.get(), 0);
        fixture.push(1, 1).unwrap();
    }

    #[test]
    fn a_request_larger_than_the_queue_enters_an_empty_one() {
        let fixture = fixture(10);
        fixture.push(1, 50).unwrap();
        assert!(matches!(fixture.push(1, 1), Err(PredictError::QueueFull)));
        assert_eq!(sizes(&fixture.queue.take(8).unwrap()), [50]);
    }

    #[test]
    fn a_batch_is_of_one_learner_and_within_its_size() {
        let fixture = fixture(100);
        for (learner, rows) in [(1, 3), (2, 1), (1, 9), (1, 4), (2, 2), (1, 1)] {
            fixture.push(learner, rows).unwrap();
        }
        assert_eq!(sizes(&fixture.queue.take(8).unwrap()), [3, 4, 1]);
        assert_eq!(sizes(&fixture.queue.take(8).unwrap()), [1, 2]);
        assert_eq!(sizes(&fixture.queue.take(8).unwrap()), [9]);
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_holds_and_takes_no_more() {
        let fixture = fixture(100);
        fixture.push(1, 2).unwrap();
        fixture.queue.close();
        assert!(matches!(fixture.push(1, 1), Err(PredictError::Stopping)));
        assert_eq!(sizes(&fixture.queue.take(8).unwrap()), [2]);
        assert!(fixture.queue.take(8).is_none());
    }
}
