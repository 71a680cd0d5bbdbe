//! What the registry asks of a store.

use async_trait::async_trait;

use super::version::{BlobDigest, Version, VersionId};
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

    /// What an alias names.
    async fn alias(&self, learner: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError>;

    /// Drops the weights of versions beyond the newest `keep`, other than teachers and students of growths and what an
    /// alias names; their rows stay. Then sweeps blobs that nothing names. Returns how many weights were dropped.
    async fn sweep_weights(&self, learner: LearnerId, keep: usize) -> Result<u64, StoreError>;
}
