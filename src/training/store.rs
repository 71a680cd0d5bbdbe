//! What training asks of a store.

use async_trait::async_trait;
use time::Duration;

use super::changes::Changes;
use super::checkpoint::Checkpoint;
use super::fleet::FleetStore;
use super::growth_order::{GrowthOrder, GrowthTicket, TicketState};
use super::journal::{JournalEvent, JournalRecord};
use super::learner::{LearnerDocument, LearnerRecord};
use crate::growth::Refusal;
use crate::registry::{BlobDigest, Cause, Model, RegistryStore, VersionId, VersionMetrics};
use crate::stream::{LearnerId, LearnerName, Schema, Seq, StoreError, StreamStore};

/// Proof of holding a learner's lease; every write of a trainer carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Whose trainer.
    pub learner: LearnerId,
    /// Larger for every later holder.
    pub token: u64,
}

/// A version to publish. Its weights blob is in the store already.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Its number: the checkpoint's `last_version` plus one, and so on.
    pub version: VersionId,
    /// The version it came from.
    pub parent: Option<VersionId>,
    /// Why.
    pub cause: Cause,
    /// The newest example it was trained on.
    pub trained_seq: Seq,
    /// What answers.
    pub model: Model,
    /// What was measured.
    pub metrics: VersionMetrics,
    /// The weights file.
    pub digest: BlobDigest,
}

/// What became of an operator's order.
#[derive(Debug, Clone)]
pub struct TicketOutcome {
    /// Which.
    pub id: u64,
    /// Applied, refused or failed.
    pub state: TicketState,
    /// What was done.
    pub event: Option<super::journal::GrowthEvent>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Everything that a trainer makes visible at once: one small transaction, after the blobs.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Where the trainer stands afterwards.
    pub checkpoint: Checkpoint,
    /// Versions to publish, in order.
    pub versions: Vec<NewVersion>,
    /// What the trainer accepts: `live` moves to it, or if an operator pinned it, it waits for `live`; `None`: nothing new.
    pub live: Option<VersionId>,
    /// Results for the journal, in order.
    pub journal: Vec<JournalEvent>,
    /// Operators' orders that are done.
    pub tickets: Vec<TicketOutcome>,
    /// The learner's schema afterwards, with features that the checkpoint's encoder has; `None`: unchanged.
    pub schema: Option<Schema>,
}

/// Why a learner was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is taken.
    #[error("there is a learner of this name")]
    Duplicate,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The durable side of learners and trainers.
#[async_trait]
pub trait TrainingStore: Send + Sync + 'static {
    /// Creates a learner with its first version as `live` and its first checkpoint, in one transaction.
    async fn create_learner(
        &self,
        document: &LearnerDocument,
        first: NewVersion,
        checkpoint: Checkpoint,
    ) -> Result<LearnerRecord, CreateError>;

    /// A learner by name.
    async fn learner(&self, name: &LearnerName) -> Result<Option<LearnerRecord>, StoreError>;

    /// A learner by number.
    async fn learner_by_id(&self, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError>;

    /// The learners after a name, in order of name, at most `limit`.
    async fn learners(&self, after: Option<&LearnerName>, limit: usize) -> Result<Vec<LearnerRecord>, StoreError>;

    /// Replaces the document if the revision is still `revision`; the new record, or `None` if it moved on. The schema stays
    /// the stored one: it changes by commits alone.
    async fn update_learner(
        &self,
        learner: LearnerId,
        revision: u64,
        document: &LearnerDocument,
    ) -> Result<Option<LearnerRecord>, StoreError>;

    /// Deletes a learner and everything of it; `false` if it is not there.
    async fn delete_learner(&self, learner: LearnerId) -> Result<bool, StoreError>;

    /// Takes the lease if it is free, expired or `owner`'s own; `None` if another holds it.
    async fn acquire_lease(
        &self,
        learner: LearnerId,
        owner: &str,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError>;

    /// Makes a held lease last longer.
    async fn renew_lease(&self, fence: Fence, lasts: Duration) -> Result<(), StoreError>;

    /// Gives a lease back.
    async fn release_lease(&self, fence: Fence) -> Result<(), StoreError>;

    /// Where a learner's trainer stands.
    async fn checkpoint(&self, learner: LearnerId) -> Result<Option<Checkpoint>, StoreError>;

    /// Writes journal events; the position of the last. `StoreError::LeaseLost` if the fence is old.
    async fn append_journal(&self, fence: Fence, events: Vec<JournalEvent>) -> Result<u64, StoreError>;

    /// The journal after a position, in order, at most `limit`; only these kinds, or all if `kinds` is empty.
    async fn journal(
        &self,
        learner: LearnerId,
        after: u64,
        kinds: &[&str],
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError>;

    /// The event of the growth that made a version; `None` for versions that no growth made.
    async fn growth_of(&self, learner: LearnerId, version: VersionId) -> Result<Option<JournalRecord>, StoreError>;

    /// Commits a trainer's progress. `StoreError::LeaseLost` if the fence is old; then nothing changed.
    async fn commit(&self, fence: Fence, commit: Commit) -> Result<(), StoreError>;

    /// Stores an operator's order.
    async fn order_growth(&self, learner: LearnerId, order: &GrowthOrder) -> Result<GrowthTicket, StoreError>;

    /// An order and what became of it.
    async fn ticket(&self, learner: LearnerId, id: u64) -> Result<Option<GrowthTicket>, StoreError>;

    /// The oldest order that is still planned.
    async fn next_ticket(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError>;
}

/// Everything that Perennial asks of a database.
#[async_trait]
pub trait Store: StreamStore + RegistryStore + TrainingStore + FleetStore {
    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Follows what is committed from now on, here or by another process on the same database.
    fn changes(&self) -> Changes;

    /// Connections in use and idle, for the metric.
    fn connections(&self) -> (u32, u32);

    /// Closes the database after what is under way.
    async fn close(&self);
}
