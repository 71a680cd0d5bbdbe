//! [`TrainingStore`] on SQLite.

use async_trait::async_trait;
use time::Duration;

use super::{SqliteStore, journal};
use crate::registry::VersionId;
use crate::store::values::bound;
use crate::stream::{LearnerId, LearnerName, StoreError};
use crate::training::{
    Checkpoint, Commit, CreateError, Fence, GrowthOrder, GrowthTicket, JournalEvent, JournalRecord, LearnerDocument,
    LearnerRecord, NewVersion, TrainingStore,
};

#[async_trait]
impl TrainingStore for SqliteStore {
    async fn create_learner(
        &self,
        document: &LearnerDocument,
        first: NewVersion,
        checkpoint: Checkpoint,
    ) -> Result<LearnerRecord, CreateError> {
        self.insert_learner(document, first, checkpoint).await
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
        self.replace_document(learner, revision, document).await
    }

    async fn delete_learner(&self, learner: LearnerId) -> Result<bool, StoreError> {
        let there = self.mark_deleted(learner).await?;
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
        self.take_lease(learner, owner, lasts).await
    }

    async fn renew_lease(&self, fence: Fence, lasts: Duration) -> Result<(), StoreError> {
        self.prolong_lease(fence, lasts).await
    }

    async fn release_lease(&self, fence: Fence) -> Result<(), StoreError> {
        self.give_lease_back(fence).await
    }

    async fn checkpoint(&self, learner: LearnerId) -> Result<Option<Checkpoint>, StoreError> {
        self.read_checkpoint(learner).await
    }

    async fn append_journal(&self, fence: Fence, events: Vec<JournalEvent>) -> Result<u64, StoreError> {
        self.write_journal(fence, &events).await
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
        journal::growth_of(&mut *self.readers.acquire().await?, learner, version).await
    }

    async fn commit(&self, fence: Fence, commit: Commit) -> Result<(), StoreError> {
        self.commit_all(fence, commit).await
    }

    async fn order_growth(&self, learner: LearnerId, order: &GrowthOrder) -> Result<GrowthTicket, StoreError> {
        self.insert_ticket(learner, order).await
    }

    async fn ticket(&self, learner: LearnerId, id: u64) -> Result<Option<GrowthTicket>, StoreError> {
        self.ticket_numbered(learner, id).await
    }

    async fn next_ticket(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError> {
        self.oldest_planned(learner).await
    }
}
