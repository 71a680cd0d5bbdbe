//! What the registry asks of a store.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::alias::{Alias, AliasError, AliasName, AliasOrder, AliasRecord};
use super::retention::Retention;
use super::version::{Ancestor, BlobDigest, Version, VersionId};
use crate::stream::{LearnerId, StoreError};

/// The durable side of versions.
#[async_trait]
pub trait RegistryStore: Send + Sync + 'static {
    /// Writes a blob under its digest, in parts of at most 4 MiB, each in a short transaction; does nothing if it is
    /// there and complete.
    async fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError>;

    /// Reads a blob and verifies its digest; `None` if it is not there or not complete.
    async fn get_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError>;

    /// One version.
    async fn version(&self, learner: LearnerId, version: VersionId) -> Result<Option<Version>, StoreError>;

    /// The versions after a number, in order, at most `limit`.
    async fn versions(&self, learner: LearnerId, after: VersionId, limit: usize) -> Result<Vec<Version>, StoreError>;

    /// A version, its parent, the parent's parent and so on, at most `limit` of them; empty if there is no such version.
    async fn lineage(&self, learner: LearnerId, version: VersionId, limit: usize) -> Result<Vec<Ancestor>, StoreError>;

    /// What an alias names.
    async fn alias(&self, learner: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError>;

    /// An alias as it stands.
    async fn alias_state(&self, learner: LearnerId, alias: &AliasName) -> Result<Option<Alias>, StoreError>;

    /// The aliases after a name, in order of name, at most `limit`.
    async fn aliases(
        &self,
        learner: LearnerId,
        after: Option<&AliasName>,
        limit: usize,
    ) -> Result<Vec<Alias>, StoreError>;

    /// Every pinned alias of every learner.
    async fn pinned_aliases(&self) -> Result<Vec<(LearnerId, AliasName)>, StoreError>;

    /// Changes an alias as [`super::alias::decide`] says and writes the history, in one transaction. It moves only to a
    /// version that is there with its weights; no sweep comes between the look and the move. What it is afterwards;
    /// `None` once it is deleted.
    async fn change_alias(&self, learner: LearnerId, order: &AliasOrder) -> Result<Option<Alias>, AliasError>;

    /// An alias's changes after a generation, in order, at most `limit`; also those of an alias that is gone.
    async fn alias_history(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AliasRecord>, StoreError>;

    /// The change of an alias that held at a time: the newest one until then.
    async fn alias_at(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        at: OffsetDateTime,
    ) -> Result<Option<AliasRecord>, StoreError>;

    /// The versions below `below` that an alias has named and that have their weights, newest first, at most `limit`.
    async fn alias_targets(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        below: VersionId,
        limit: usize,
    ) -> Result<Vec<VersionId>, StoreError>;

    /// Drops the weights that [`super::retention::droppable`] gives up; their rows stay. Needed are what aliases name or
    /// have waiting for them, the targets of their newest moves, and what the trainer's checkpoint goes by. Then sweeps
    /// blobs that nothing names. Returns how many weights were dropped.
    async fn sweep_weights(&self, learner: LearnerId, retention: &Retention) -> Result<u64, StoreError>;
}
