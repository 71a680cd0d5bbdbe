//! [`RegistryStore`] on Postgres.

use async_trait::async_trait;

use super::retry::retried;
use super::{PostgresStore, versions};
use crate::registry::{BlobDigest, RegistryStore, Version, VersionId, retention};
use crate::stream::{LearnerId, StoreError};

#[async_trait]
impl RegistryStore for PostgresStore {
    async fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        self.write_blob(bytes).await
    }

    async fn get_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_blob(digest).await
    }

    async fn version(&self, learner: LearnerId, version: VersionId) -> Result<Option<Version>, StoreError> {
        versions::one(&mut *self.pool.acquire().await?, learner, version).await
    }

    async fn versions(&self, learner: LearnerId, after: VersionId, limit: usize) -> Result<Vec<Version>, StoreError> {
        versions::after(&mut *self.pool.acquire().await?, learner, after, limit).await
    }

    async fn alias(&self, learner: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError> {
        versions::named(&mut *self.pool.acquire().await?, learner, alias).await
    }

    async fn sweep_weights(&self, learner: LearnerId, keep: usize) -> Result<u64, StoreError> {
        let dropped = retried!(self.drop_old_weights(learner, keep))?;
        let number = dropped.len() as u64;
        self.release_blobs(dropped).await?;
        self.sweep_blobs().await?;
        Ok(number)
    }
}

impl PostgresStore {
    /// Marks weights that need not be kept as dropped; their blobs.
    async fn drop_old_weights(&self, learner: LearnerId, keep: usize) -> Result<Vec<BlobDigest>, StoreError> {
        // Decided under the learner's lock: no alias can move between the look and the drop.
        let mut transaction = self.write().await?;
        if !transaction.lock_learner(learner).await? {
            transaction.roll_back().await?;
            return Ok(Vec::new());
        }
        let kept = versions::with_weights(&mut transaction, learner).await?;
        let aliased = versions::aliased(&mut transaction, learner).await?;
        let mut dropped = Vec::new();
        for version in retention::droppable(&kept, &aliased, keep) {
            dropped.push(versions::drop_weights(&mut transaction, learner, version).await?);
        }
        transaction.commit().await?;
        Ok(dropped)
    }
}
