//! What the stream asks of a store.

use async_trait::async_trait;

use super::appended::Appended;
use super::correction::{Correction, Deletion, ExampleName};
use super::example::{Entry, Label, NewExample};
use super::ids::{LearnerId, Seq};

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
    /// What happens to an example whose id is there already.
    pub existing: Existing,
    /// The examples in order.
    pub examples: Vec<NewExample>,
}

/// What happens to an example whose id the learner has already, from this request or an earlier one. A deleted example's id
/// is there for ever: what comes under it is a duplicate either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// The one that is there stays as it is.
    #[default]
    Keep,
    /// The new one takes its place; of several in one request, the last does.
    Replace,
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
    /// Others wrote the same rows at the same time, again and again; nothing changed.
    #[error("the store gave way to other writers: {0}")]
    Contended(String),
    /// A stored row cannot be read.
    #[error("a stored row is damaged: {0}")]
    Damaged(String),
    /// Another trainer holds the lease.
    #[error("the lease is lost to another trainer")]
    LeaseLost,
}

/// The durable side of streams.
#[async_trait]
pub trait StreamStore: Send + Sync + 'static {
    /// Commits these requests in one transaction and gives each its answer, in order. When it returns `Ok`, everything
    /// accepted is on disk.
    async fn append(&self, requests: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError>;

    /// The newest place of a learner.
    async fn head(&self, learner: LearnerId) -> Result<Seq, StoreError>;

    /// What stands after a place, in order and without gaps, at most `limit` places.
    async fn read(&self, learner: LearnerId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// What stands at these places, in any order; places that do not exist are left out.
    async fn fetch(&self, learner: LearnerId, seqs: &[Seq]) -> Result<Vec<Entry>, StoreError>;

    /// The labels after a place up to and including another, in order; a tombstone has none.
    async fn labels(&self, learner: LearnerId, after: Seq, until: Seq)
    -> Result<Vec<(Seq, Option<Label>)>, StoreError>;

    /// Deletes an example, durably: its place and its id stay taken, its values and its label are gone.
    async fn delete_example(&self, learner: LearnerId, example: &ExampleName) -> Result<Deletion, StoreError>;

    /// The corrections after a number, in order, at most `limit`.
    async fn corrections(&self, learner: LearnerId, after: u64, limit: usize) -> Result<Vec<Correction>, StoreError>;

    /// Forgets idempotency keys older than `days`.
    async fn sweep_keys(&self, days: u32) -> Result<u64, StoreError>;
}
