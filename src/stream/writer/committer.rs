//! The writer's task: takes what is queued, commits it at once, answers everyone.
//!
//! A request is in exactly one transaction, and requests are committed in the order in which they were queued.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::keys::Claim;
use super::{Committed, WriteError};
use crate::metrics::IngestMetrics;
use crate::stream::appended::Appended;
use crate::stream::ids::{LearnerId, Seq};
use crate::stream::store::{Append, AppendRefusal, StoreError, StreamStore};

/// A queued request.
pub(super) struct Request {
    pub append: Append,
    pub claim: Option<Claim>,
    pub answer: oneshot::Sender<Result<Appended, WriteError>>,
}

/// The answers of a transaction, in order.
type Answers = Vec<Result<Appended, AppendRefusal>>;

/// What the task works with.
pub(super) struct Committer {
    store: Arc<dyn StreamStore>,
    commit_examples: usize,
    metrics: IngestMetrics,
    committed: Committed,
    /// The newest heads that were announced: the answer to a replayed request carries an old one.
    heads: BTreeMap<LearnerId, Seq>,
    /// A request that was taken from the queue and did not fit into the transaction before.
    carried: Option<Request>,
}

impl Committer {
    /// `commit_examples`: the most examples in one transaction; a larger request has one of its own.
    pub fn new(
        store: Arc<dyn StreamStore>,
        commit_examples: usize,
        metrics: IngestMetrics,
        committed: Committed,
    ) -> Self {
        Self { store, commit_examples, metrics, committed, heads: BTreeMap::new(), carried: None }
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
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                requests.close();
                requests.recv().await
            }
            request = requests.recv() => request,
        }
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
        for Request { append, claim, answer } in batch {
            waiting.push((append.learner, claim, answer));
            appends.push(append);
        }
        let outcomes = match self.append(appends).await {
            Ok(answers) => {
                self.announce(waiting.iter().map(|(learner, ..)| *learner).zip(&answers));
                answers.into_iter().map(|answer| answer.map_err(WriteError::Refused)).collect()
            }
            Err(error) => {
                tracing::error!(%error, requests = waiting.len(), "examples could not be committed");
                vec![Err(WriteError::Store(error)); waiting.len()]
            }
        };
        for ((_, claim, answer), outcome) in waiting.into_iter().zip(outcomes) {
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

    /// Calls back once for every learner whose head moved, or of whose examples some were replaced.
    fn announce<'a>(&mut self, answers: impl Iterator<Item = (LearnerId, &'a Result<Appended, AppendRefusal>)>) {
        let mut moved = BTreeMap::new();
        for (learner, answer) in answers {
            let Ok(Appended { head_seq, replaced, .. }) = *answer else { continue };
            let head = self.heads.entry(learner).or_default();
            if head_seq > *head || replaced > 0 {
                *head = head_seq.max(*head);
                moved.insert(learner, *head);
            }
        }
        for (learner, head) in moved {
            (self.committed)(learner, head);
        }
    }
}
