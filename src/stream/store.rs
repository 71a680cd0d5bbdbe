//! What the stream asks of a store.

use async_trait::async_trait;

use super::example::{EncodedExample, Label, StoredExample};
use super::ids::{LearnerId, Seq};
use super::intake::Rejections;

/// A request's idempotency key with the digest of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The header's value.
    pub key: String,
    /// SHA-256 of the body.
    pub body: [u8; 32],
}

/// The examples of one request: all of them are stored, or none.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose stream.
    pub learner: LearnerId,
    /// The request's key, if it has one.
    pub key: Option<IdempotencyKey>,
    /// The examples in order.
    pub examples: Vec<EncodedExample>,
    /// What of its request it stands for; kept with the answer, and given back by a replay.
    pub covers: Option<Covered>,
}

/// What of a request an append stands for. A long body takes several appends.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Covered {
    /// The number of the first row of the body that it does not reach; none: it reaches the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The rows of the body that were not taken; with the first append, for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejections: Option<Rejections>,
}

/// A request's examples are committed and synced.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Appended {
    /// New examples.
    pub accepted: u64,
    /// Examples whose id was there already; they were not stored again.
    pub duplicates: u64,
    /// The place of the first new one; absent if there is none.
    pub first_seq: Option<Seq>,
    /// The place of the last new one.
    pub last_seq: Option<Seq>,
    /// The learner's newest place after this request.
    pub head_seq: Seq,
    /// What of its request the append stood for when it was first answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<Covered>,
}

/// Why one request was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The learner was deleted meanwhile.
    #[error("the learner is gone")]
    LearnerGone,
    /// Another body came under this key.
    #[error("the idempotency key was used with another body")]
    KeyReused,
}

/// The store failed: nothing is known to have changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached; the text is for the log.
    #[error("the store failed: {0}")]
    Unavailable(String),
    /// A stored row cannot be read.
    #[error("a stored row is damaged: {0}")]
    Damaged(String),
    /// Another trainer holds the lease.
    #[error("the lease is lost to another trainer")]
    LeaseLost,
}

/// How a store stands after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rested {
    /// Bytes of its log file, if it has one of its own.
    pub log_bytes: u64,
}

/// The durable side of streams.
#[async_trait]
pub trait StreamStore: Send + Sync + 'static {
    /// Commits these requests in one transaction and gives each its answer, in order. When it returns `Ok`, everything
    /// accepted is on disk.
    async fn append(&self, requests: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError>;

    /// The newest place of a learner.
    async fn head(&self, learner: LearnerId) -> Result<Seq, StoreError>;

    /// The examples after a place, in order, at most `limit`.
    async fn read(&self, learner: LearnerId, after: Seq, limit: usize) -> Result<Vec<StoredExample>, StoreError>;

    /// These examples, in any order; places that do not exist are left out.
    async fn fetch(&self, learner: LearnerId, seqs: &[Seq]) -> Result<Vec<StoredExample>, StoreError>;

    /// The labels after a place up to and including another, in order.
    async fn labels(&self, learner: LearnerId, after: Seq, until: Seq) -> Result<Vec<(Seq, Label)>, StoreError>;

    /// Does what would make a commit wait, while nothing is to be committed: called again and again in the writer's idle time,
    /// beside reads and, it may be, writes that began meanwhile. It must hold up neither.
    async fn rest(&self) -> Result<Rested, StoreError> {
        Ok(Rested::default())
    }

    /// Forgets idempotency keys older than `days`.
    async fn sweep_keys(&self, days: u32) -> Result<u64, StoreError>;
}
