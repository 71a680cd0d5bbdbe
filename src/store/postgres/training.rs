//! [`TrainingStore`] on Postgres.

use async_trait::async_trait;
use time::Duration;

use super::retry::retried;
use super::{PostgresStore, journal};
use crate::registry::VersionId;
use crate::store::values::bound;
use crate::stream::{LearnerId, LearnerName, StoreError};
use crate::training::{
    Checkpoint, Commit, CreateError, Fence, GrowthOrder, GrowthTicket, JournalEvent, JournalRecord, LearnerDocument,
    LearnerRecord, NewVersion, TrainingStore,
};

#[async_trait]
impl TrainingStore for PostgresStore {
    async fn create_learner(
        &self,
        document: &LearnerDocument,
        first: NewVersion,
        checkpoint: Checkpoint,
    ) -> Result<LearnerRecord, CreateError> {
        retried!(self.insert_learner(document, &first, &checkpoint))
    }

    async fn learner(&self, name: &LearnerName) -> Result<Option<LearnerRecord>, StoreError> {
        self.learner_named(name).await
    }

    async fn learner_by_id(&self, learner: LearnerId) -> Result<Option<LearnerRecord>, StoreError> {
        self.learner_numbered(learner).await
    }

    async fn learners(&self, after: Option<&LearnerName>, limit: usize) -> Result<Vec<LearnerRecord>, StoreError> {
        self.learners_after(after, bound(limit)).await
    }

    async fn update_learner(
        &self,
        learner: LearnerId,
        revision: u64,
        document: &LearnerDocument,
    ) -> Result<Option<LearnerRecord>, StoreError> {
        retried!(self.replace_document(learner, revision, document))
    }

    async fn delete_learner(&self, learner: LearnerId) -> Result<bool, StoreError> {
        let there = retried!(self.mark_deleted(learner))?;
        if there {
            self.delete_behind();
        }
        Ok(there)
    }

    async fn acquire_lease(
        &self,
        learner: LearnerId,
        owner: &str,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        retried!(self.take_lease(learner, owner, lasts))
    }

    async fn renew_lease(&self, fence: Fence, lasts: Duration) -> Result<(), StoreError> {
        retried!(self.prolong_lease(fence, lasts))
    }

    async fn release_lease(&self, fence: Fence) -> Result<(), StoreError> {
        retried!(self.give_lease_back(fence))
    }

    async fn checkpoint(&self, learner: LearnerId) -> Result<Option<Checkpoint>, StoreError> {
        self.read_checkpoint(learner).await
    }

    async fn append_journal(&self, fence: Fence, events: Vec<JournalEvent>) -> Result<u64, StoreError> {
        retried!(self.write_journal(fence, &events))
    }

    async fn journal(
        &self,
        learner: LearnerId,
        after: u64,
        kinds: &[&str],
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        self.read_journal(learner, after, kinds, limit).await
    }

    async fn growth_of(&self, learner: LearnerId, version: VersionId) -> Result<Option<JournalRecord>, StoreError> {
        journal::growth_of(&mut *self.pool.acquire().await?, learner, version).await
    }

    async fn commit(&self, fence: Fence, commit: Commit) -> Result<(), StoreError> {
        let replaced = retried!(self.commit_all(fence, &commit))?;
        // The commit stands whatever becomes of the old blobs: the next sweep takes what stays.
        if let Err(error) = self.release_blobs(replaced).await {
            tracing::info!(learner = fence.learner.0, %error, "replaced blobs are left to the next sweep");
        }
        Ok(())
    }

    async fn order_growth(&self, learner: LearnerId, order: &GrowthOrder) -> Result<GrowthTicket, StoreError> {
        retried!(self.insert_ticket(learner, order))
    }

    async fn ticket(&self, learner: LearnerId, id: u64) -> Result<Option<GrowthTicket>, StoreError> {
        self.ticket_numbered(learner, id).await
    }

    async fn next_ticket(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError> {
        self.oldest_planned(learner).await
    }
}
