//! [`RegistryStore`] on Postgres.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::retry::retried;
use super::{PostgresStore, alias_history, aliases, commit, versions};
use crate::registry::{
    Alias, AliasError, AliasName, AliasOrder, AliasRecord, Ancestor, BlobDigest, RegistryStore, Retention, Version,
    VersionId, retention,
};
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

    async fn lineage(&self, learner: LearnerId, version: VersionId, limit: usize) -> Result<Vec<Ancestor>, StoreError> {
        versions::lineage(&mut *self.pool.acquire().await?, learner, version, limit).await
    }

    async fn alias(&self, learner: LearnerId, alias: &str) -> Result<Option<VersionId>, StoreError> {
        aliases::named(&mut *self.pool.acquire().await?, learner, alias).await
    }

    async fn alias_state(&self, learner: LearnerId, alias: &AliasName) -> Result<Option<Alias>, StoreError> {
        aliases::one(&mut *self.pool.acquire().await?, learner, alias).await
    }

    async fn aliases(
        &self,
        learner: LearnerId,
        after: Option<&AliasName>,
        limit: usize,
    ) -> Result<Vec<Alias>, StoreError> {
        aliases::after(&mut *self.pool.acquire().await?, learner, after, limit).await
    }

    async fn pinned_aliases(&self) -> Result<Vec<(LearnerId, AliasName)>, StoreError> {
        aliases::pinned(&mut *self.pool.acquire().await?).await
    }

    async fn change_alias(&self, learner: LearnerId, order: &AliasOrder) -> Result<Option<Alias>, AliasError> {
        retried!(self.try_change_alias(learner, order))
    }

    async fn alias_history(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AliasRecord>, StoreError> {
        alias_history::after(&mut *self.pool.acquire().await?, learner, alias, (after, limit)).await
    }

    async fn alias_at(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        at: OffsetDateTime,
    ) -> Result<Option<AliasRecord>, StoreError> {
        alias_history::until(&mut *self.pool.acquire().await?, learner, alias, at).await
    }

    async fn alias_targets(
        &self,
        learner: LearnerId,
        alias: &AliasName,
        below: VersionId,
        limit: usize,
    ) -> Result<Vec<VersionId>, StoreError> {
        alias_history::targets(&mut *self.pool.acquire().await?, learner, alias, (below, limit)).await
    }

    async fn sweep_weights(&self, learner: LearnerId, retention: &Retention) -> Result<u64, StoreError> {
        let dropped = retried!(self.drop_old_weights(learner, retention))?;
        let number = dropped.len() as u64;
        self.release_blobs(dropped).await?;
        self.sweep_blobs().await?;
        Ok(number)
    }
}

impl PostgresStore {
    async fn try_change_alias(&self, learner: LearnerId, order: &AliasOrder) -> Result<Option<Alias>, AliasError> {
        let mut transaction = self.write().await?;
        match aliases::change(&mut transaction, learner, order).await {
            Ok(changed) => {
                transaction.commit().await?;
                Ok(changed)
            }
            Err(AliasError::Store(error)) => Err(error.into()),
            Err(refused) => {
                transaction.roll_back().await?;
                Err(refused)
            }
        }
    }

    /// Marks weights that need not be kept as dropped; their blobs.
    async fn drop_old_weights(&self, learner: LearnerId, retention: &Retention) -> Result<Vec<BlobDigest>, StoreError> {
        // Decided under the learner's lock: no alias can move between the look and the drop.
        let mut transaction = self.write().await?;
        if !transaction.lock_learner(learner).await? {
            transaction.roll_back().await?;
            return Ok(Vec::new());
        }
        let kept = versions::with_weights(&mut transaction, learner).await?;
        let mut needed = aliases::needed(&mut transaction, learner, retention.alias_moves).await?;
        needed.extend(commit::accepted(&mut transaction, learner).await?);
        let mut dropped = Vec::new();
        for version in retention::droppable(&kept, &needed, retention) {
            dropped.push(versions::drop_weights(&mut transaction, learner, version).await?);
        }
        transaction.commit().await?;
        Ok(dropped)
    }
}
