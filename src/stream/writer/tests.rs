//! What the writer promises, over a store in memory whose transactions the test lets through one by one.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::metrics::Metrics;
use crate::stream::appended::{Outcome, Outcomes};
use crate::stream::correction::{Correction, Deletion, ExampleName};
use crate::stream::example::{EncodedExample, Entry, Label};
use crate::stream::ids::Seq;
use crate::stream::store::{Existing, IdempotencyKey};

/// A store that keeps heads only, and every transaction that it was asked for.
#[derive(Default)]
struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heads: HashMap<LearnerId, u64>,
    /// The learners of the requests of every transaction.
    transactions: Vec<Vec<i64>>,
    failure: Option<StoreError>,
    panics: bool,
}

/// The store behind a gate: a transaction begins when it is asked for, and ends when the test allows it.
struct Gated {
    store: MemoryStore,
    begun: Semaphore,
    allowed: Semaphore,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self { store: MemoryStore::default(), begun: Semaphore::new(0), allowed: Semaphore::new(0) })
    }

    fn open() -> Arc<Self> {
        let gated = Self::new();
        gated.allowed.add_permits(1_000);
        gated
    }

    /// Returns when another transaction has begun.
    async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    fn allow(&self, transactions: usize) {
        self.allowed.add_permits(transactions);
    }

    fn transactions(&self) -> Vec<Vec<i64>> {
        self.state().transactions.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.store.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl StreamStore for Gated {
    async fn append(&self, requests: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.begun.add_permits(1);
        self.allowed.acquire().await.unwrap().forget();
        let mut state = self.state();
        state.transactions.push(requests.iter().map(|request| request.learner.0).collect());
        assert!(!state.panics, "the store panics");
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let answers = requests.iter().map(|request| {
            if request.learner == GONE {
                return Err(AppendRefusal::LearnerGone);
            }
            let head = state.heads.entry(request.learner).or_default();
            let mut outcomes = Outcomes::default();
            for _ in &request.examples {
                *head += 1;
                outcomes.push(Outcome::Accepted, Seq(*head));
            }
            Ok(Appended::of(outcomes, Seq(*head)))
        });
        Ok(answers.collect())
    }

    async fn head(&self, learner: LearnerId) -> Result<Seq, StoreError> {
        Ok(Seq(self.state().heads.get(&learner).copied().unwrap_or_default()))
    }

    async fn read(&self, _: LearnerId, _: Seq, _: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn fetch(&self, _: LearnerId, _: &[Seq]) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn labels(&self, _: LearnerId, _: Seq, _: Seq) -> Result<Vec<(Seq, Option<Label>)>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_example(&self, _: LearnerId, _: &ExampleName) -> Result<Deletion, StoreError> {
        Ok(Deletion::Unknown)
    }

    async fn corrections(&self, _: LearnerId, _: u64, _: usize) -> Result<Vec<Correction>, StoreError> {
        Ok(Vec::new())
    }

    async fn sweep_keys(&self, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

const GONE: LearnerId = LearnerId(99);

fn request(learner: i64, examples: usize) -> Append {
    let example = EncodedExample { id: None, label: Label::Number(0.0), row: Vec::new() };
    let examples = vec![example; examples];
    Append { learner: LearnerId(learner), key: None, existing: Existing::Keep, examples, covers: None }
}

fn keyed(learner: i64, key: &str) -> Append {
    let key = IdempotencyKey { key: key.into(), body: [0; 32] };
    Append { key: Some(key), ..request(learner, 1) }
}

fn start(store: &Arc<Gated>, queue: usize, commit_examples: usize) -> Writer {
    let config = IngestConfig { queue, commit_examples, ..IngestConfig::default() };
    Writer::start(store.clone(), &config, Metrics::new().ingest)
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Appended, WriteError>> + Send + 'a>>;

/// Queues a request: the first poll of `write` does that, and cannot be answered yet.
async fn queued(writer: &Writer, request: Append) -> Pending<'_> {
    let mut pending: Pending<'_> = Box::pin(writer.write(request));
    let answer = poll_fn(|context| Poll::Ready(pending.as_mut().poll(context))).await;
    assert!(answer.is_pending(), "{answer:?}");
    pending
}

fn seqs(answer: Result<Appended, WriteError>) -> (u64, u64) {
    let appended = answer.unwrap();
    (appended.first_seq.unwrap().0, appended.last_seq.unwrap().0)
}

#[tokio::test]
async fn requests_that_queue_up_share_one_transaction() {
    let store = Gated::new();
    let writer = start(&store, 16, 100);
    let first = queued(&writer, request(1, 2)).await;
    store.begun().await;
    let second = queued(&writer, request(1, 3)).await;
    let third = queued(&writer, request(2, 1)).await;
    let fourth = queued(&writer, request(1, 1)).await;
    store.allow(2);
    assert_eq!(seqs(first.await), (1, 2));
    assert_eq!(seqs(second.await), (3, 5));
    assert_eq!(seqs(third.await), (1, 1));
    assert_eq!(seqs(fourth.await), (6, 6));
    assert_eq!(store.transactions(), [vec![1], vec![1, 2, 1]]);
}

#[tokio::test]
async fn a_transaction_has_at_most_commit_examples() {
    let store = Gated::new();
    let writer = start(&store, 16, 10);
    let mut pending = vec![queued(&writer, request(1, 1)).await];
    store.begun().await;
    for (learner, examples) in [(2, 6), (3, 4), (4, 1), (5, 25), (6, 3), (7, 8)] {
        pending.push(queued(&writer, request(learner, examples)).await);
    }
    store.allow(100);
    for answer in pending {
        answer.await.unwrap();
    }
    assert_eq!(store.transactions(), [vec![1], vec![2, 3], vec![4], vec![5], vec![6], vec![7]]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_again_later() {
    let store = Gated::new();
    let writer = start(&store, 1, 100);
    let first = queued(&writer, request(1, 1)).await;
    store.begun().await;
    let second = queued(&writer, request(1, 1)).await;
    assert!(matches!(writer.write(keyed(1, "a")).await, Err(WriteError::QueueFull { .. })));
    store.allow(3);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(seqs(writer.write(keyed(1, "a")).await), (3, 3));
}

#[tokio::test]
async fn the_same_key_in_progress_is_a_conflict_and_free_after_the_answer() {
    let store = Gated::new();
    let writer = start(&store, 16, 100);
    let first = queued(&writer, keyed(1, "a")).await;
    assert!(matches!(writer.write(keyed(1, "a")).await, Err(WriteError::InProgress)));
    let other_learner = queued(&writer, keyed(2, "a")).await;
    store.allow(3);
    first.await.unwrap();
    other_learner.await.unwrap();
    writer.write(keyed(1, "a")).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_its_write_nor_free_its_key() {
    let store = Gated::new();
    let writer = start(&store, 16, 100);
    let first = queued(&writer, request(1, 1)).await;
    store.begun().await;
    drop(queued(&writer, keyed(1, "a")).await);
    assert!(matches!(writer.write(keyed(1, "a")).await, Err(WriteError::InProgress)));
    store.allow(3);
    first.await.unwrap();
    assert_eq!(seqs(writer.write(request(1, 1)).await), (3, 3));
    assert_eq!(store.head(LearnerId(1)).await.unwrap(), Seq(3));
}

#[tokio::test]
async fn a_refused_request_does_not_harm_its_neighbours() {
    let store = Gated::new();
    let writer = start(&store, 16, 100);
    let first = queued(&writer, request(1, 1)).await;
    store.begun().await;
    let gone = queued(&writer, request(GONE.0, 1)).await;
    let neighbour = queued(&writer, request(1, 1)).await;
    store.allow(2);
    first.await.unwrap();
    assert!(matches!(gone.await, Err(WriteError::Refused(AppendRefusal::LearnerGone))));
    assert_eq!(seqs(neighbour.await), (2, 2));
}

#[tokio::test]
async fn a_failing_store_is_an_error_for_everyone_and_the_writer_lives_on() {
    let store = Gated::new();
    let writer = start(&store, 16, 100);
    store.state().failure = Some(StoreError::Unavailable("the disk is full".into()));
    let first = queued(&writer, keyed(1, "a")).await;
    store.begun().await;
    let second = queued(&writer, request(1, 1)).await;
    let third = queued(&writer, request(2, 1)).await;
    store.allow(2);
    for answer in [first.await, second.await, third.await] {
        assert!(matches!(answer, Err(WriteError::Store(StoreError::Unavailable(_)))), "{answer:?}");
    }
    assert_eq!(store.head(LearnerId(1)).await.unwrap(), Seq(0));
    store.state().failure = None;
    store.allow(1);
    assert_eq!(seqs(writer.write(keyed(1, "a")).await), (1, 1));
}

#[tokio::test]
async fn a_panicking_store_is_an_error_and_the_writer_lives_on() {
    let store = Gated::open();
    let writer = start(&store, 16, 100);
    store.state().panics = true;
    let answer = writer.write(keyed(1, "a")).await;
    assert!(matches!(answer, Err(WriteError::Store(StoreError::Unavailable(_)))), "{answer:?}");
    store.state().panics = false;
    assert_eq!(seqs(writer.write(keyed(1, "a")).await), (1, 1));
}

#[tokio::test]
async fn stopping_writes_what_is_queued_and_takes_no_more() {
    let store = Gated::new();
    let writer = start(&store, 16, 2);
    let mut pending = vec![queued(&writer, request(1, 1)).await];
    store.begun().await;
    for _ in 0..5 {
        pending.push(queued(&writer, request(1, 1)).await);
    }
    store.allow(100);
    writer.stop().await;
    assert_eq!(store.head(LearnerId(1)).await.unwrap(), Seq(6));
    assert!(matches!(writer.write(request(1, 1)).await, Err(WriteError::Stopping)));
    for (index, answer) in pending.into_iter().enumerate() {
        let seq = index as u64 + 1;
        assert_eq!(seqs(answer.await), (seq, seq));
    }
    writer.stop().await;
}

#[tokio::test]
async fn every_transaction_is_timed() {
    let store = Gated::open();
    let metrics = Metrics::new();
    let config = IngestConfig { queue: 4, commit_examples: 4, ..IngestConfig::default() };
    let writer = Writer::start(store.clone(), &config, metrics.ingest.clone());
    writer.write(request(1, 1)).await.unwrap();
    writer.write(request(1, 1)).await.unwrap();
    assert_eq!(metrics.ingest.commit_seconds.get_sample_count(), 2);
}
