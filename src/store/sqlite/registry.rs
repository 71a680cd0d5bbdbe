//! [`RegistryStore`] on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, versions};
use crate::registry::{BlobDigest, RegistryStore, Version, VersionId, retention};
use crate::stream::{LearnerId, StoreError};

#[async_trait]
impl RegistryStore for SqliteStore {
    async fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        self.write_blob(bytes).await
    }

    async fn get_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_blob(digest).await
    }

    async fn version(&self, learner: LearnerId, version: VersionId) -> Result<Option<Version>, StoreError> {
        versions::one(&mut *self.readers.acquire().await?, learner, version).await
    }

    async fn versions(&self, learner: LearnerId, after: VersionId, limit: usize) -> Result<Vec<Version>, StoreError> {
        versions::after(&mut *self.readers.acquire().await?, learner, after, limit).await
    }

    async fn alias(&self, learner: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError> {
        versions::named(&mut *self.readers.acquire().await?, learner, alias).await
    }

    async fn sweep_weights(&self, learner: LearnerId, keep: usize) -> Result<u64, StoreError> {
        // Decided inside the write lock: no alias can move between the look and the drop.
        let mut transaction = self.write().await?;
        let kept = versions::with_weights(&mut transaction, learner).await?;
        let aliased = versions::aliased(&mut transaction, learner).await?;
        let mut gone = Vec::new();
        let mut dropped = 0;
        for version in retention::droppable(&kept, &aliased, keep) {
            gone.extend(versions::drop_weights(&mut transaction, learner, version).await?);
            dropped += 1;
        }
        transaction.commit().await?;
        self.delete_bytes(&gone).await?;
        self.sweep_blobs().await?;
        Ok(dropped)
    }
}
