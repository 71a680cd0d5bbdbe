//! The writer's task: takes what is queued, commits it at once, answers everyone.
//!
//! A request is in exactly one transaction, and requests are committed in the order in which they were queued.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::WriteError;
use super::keys::Claim;
use super::room::Drain;
use crate::metrics::IngestMetrics;
use crate::stream::appended::Appended;
use crate::stream::store::{Append, AppendRefusal, StoreError, StreamStore};

/// A queued request.
pub(super) struct Request {
    pub append: Append,
    pub claim: Option<Claim>,
    /// What it takes of the queue's bytes.
    pub bytes: OwnedSemaphorePermit,
    pub answer: oneshot::Sender<Result<Appended, WriteError>>,
}

/// How long the queue must have been empty before the store may rest.
const IDLE: Duration = Duration::from_millis(100);

/// How often the store may rest while nothing is written here: others write too.
const REST_EVERY: Duration = Duration::from_secs(10);

/// The answers of a transaction, in order.
type Answers = Vec<Result<Appended, AppendRefusal>>;

/// What the task works with.
pub(super) struct Committer {
    store: Arc<dyn StreamStore>,
    commit_examples: usize,
    metrics: IngestMetrics,
    /// A request that was taken from the queue and did not fit into the transaction before.
    carried: Option<Request>,
    drain: Drain,
    /// The rest that the store takes, beside what arrives meanwhile.
    rest: Option<JoinHandle<()>>,
}

impl Committer {
    /// `commit_examples`: the most examples in one transaction; a larger request has one of its own.
    pub fn new(store: Arc<dyn StreamStore>, commit_examples: usize, metrics: IngestMetrics, drain: Drain) -> Self {
        Self { store, commit_examples, metrics, carried: None, drain, rest: None }
    }

    /// Commits until nobody can queue any more, or until `stop`, and then what is still queued.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>, stop: CancellationToken) {
        while let Some(first) = self.next(&mut requests, &stop).await {
            let batch = self.batch(first, &mut requests);
            self.commit(batch).await;
        }
    }

    async fn next(&mut self, requests: &mut mpsc::Receiver<Request>, stop: &CancellationToken) -> Option<Request> {
        if let Some(carried) = self.carried.take() {
            return Some(carried);
        }
        let mut patience = IDLE;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    requests.close();
                    return requests.recv().await;
                }
                request = requests.recv() => return request,
                () = tokio::time::sleep(patience) => {
                    self.rest();
                    patience = REST_EVERY;
                }
            }
        }
    }

    /// Lets the store rest, on a task of its own: a request that arrives meanwhile does not wait for it.
    fn rest(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| !rest.is_finished()) {
            return;
        }
        let store = self.store.clone();
        let shown = self.metrics.wal_bytes.clone();
        self.rest = Some(tokio::spawn(async move {
            match store.rest().await {
                Ok(rested) => shown.set(i64::try_from(rested.log_bytes).unwrap_or(i64::MAX)),
                Err(error) => tracing::warn!(%error, "the store could not fold its log"),
            }
        }));
    }

    /// The first request and all that are queued behind it, as far as they fit into one transaction.
    fn batch(&mut self, first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
        let mut examples = first.append.examples.len();
        let mut batch = vec![first];
        while examples < self.commit_examples
            && let Ok(request) = requests.try_recv()
        {
            examples += request.append.examples.len();
            if examples > self.commit_examples {
                self.carried = Some(request);
                break;
            }
            batch.push(request);
        }
        batch
    }

    async fn commit(&mut self, batch: Vec<Request>) {
        let mut appends = Vec::with_capacity(batch.len());
        let mut waiting = Vec::with_capacity(batch.len());
        let examples = batch.iter().map(|request| request.append.examples.len()).sum();
        self.drain.taken(examples);
        for Request { append, claim, bytes, answer } in batch {
            // Others may wait in its place.
            drop(bytes);
            waiting.push((claim, answer));
            appends.push(append);
        }
        let began = Instant::now();
        let outcomes = match self.append(appends).await {
            Ok(answers) => {
                self.drain.committed(examples, began.elapsed());
                answers.into_iter().map(|answer| answer.map_err(WriteError::Refused)).collect()
            }
            Err(error) => {
                self.metrics.commit_failures.with_label_values(&[error.kind()]).inc();
                tracing::error!(%error, requests = waiting.len(), "examples could not be committed");
                vec![Err(WriteError::Store(error)); waiting.len()]
            }
        };
        for ((claim, answer), outcome) in waiting.into_iter().zip(outcomes) {
            // Before the answer: whoever has it may come again under the same key at once.
            drop(claim);
            // An error here is a caller that went away; its examples are stored all the same.
            drop(answer.send(outcome));
        }
    }

    /// Runs the transaction on a task of its own, so that a panic in it is an error of these requests alone.
    async fn append(&self, appends: Vec<Append>) -> Result<Answers, StoreError> {
        let requests = appends.len();
        let store = self.store.clone();
        let timer = self.metrics.commit_seconds.start_timer();
        let answers = tokio::spawn(async move { store.append(appends).await }).await;
        timer.observe_duration();
        match answers {
            Ok(Ok(answers)) if answers.len() != requests => {
                Err(StoreError::Unavailable(format!("{} answers came for {requests} requests", answers.len())))
            }
            Ok(answers) => answers,
            Err(error) => Err(StoreError::Unavailable(format!("the transaction broke off: {error}"))),
        }
    }
}
