//! A trainer's commit: the fence, then everything that becomes visible at once.

use std::collections::BTreeSet;

use super::write::WriteTransaction;
use super::{PostgresStore, aliases, blobs, journal, learners, leases, tickets, versions};
use crate::registry::{BlobDigest, VersionId};
use crate::store::values::{json, kept};
use crate::store::{commits, rows};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Checkpoint, Commit, Fence};

impl PostgresStore {
    /// The commit; the blobs that the replaced checkpoint named, for [`PostgresStore::release_blobs`].
    pub(super) async fn commit_all(&self, fence: Fence, commit: &Commit) -> Result<BTreeSet<BlobDigest>, StoreError> {
        let mut transaction = self.write().await?;
        let there = transaction.lock_learner(fence.learner).await?;
        if !there || !leases::holds(&mut transaction, fence).await? {
            transaction.roll_back().await?;
            return Err(StoreError::LeaseLost);
        }
        let replaced = publish(&mut transaction, fence.learner, commit).await?;
        commits::changes(fence.learner, commit).for_each(|change| transaction.tell(change));
        transaction.commit().await?;
        Ok(replaced)
    }

    pub(super) async fn read_checkpoint(&self, learner: LearnerId) -> Result<Option<Checkpoint>, StoreError> {
        let row = sqlx::query(
            "SELECT position, trained_seq, last_version, accepted, weights, optimizer, model, progress
             FROM checkpoints WHERE learner_id = $1",
        )
        .bind(learner.0)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(|row| rows::checkpoint(learner, row)).transpose()
    }
}

/// Writes all of a commit; the blobs that the replaced checkpoint named.
async fn publish(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    commit: &Commit,
) -> Result<BTreeSet<BlobDigest>, StoreError> {
    blobs::name(transaction, commits::mentions(&commit.checkpoint, &commit.versions)).await?;
    for version in &commit.versions {
        versions::insert(transaction, learner, version).await?;
    }
    if let Some(version) = commit.live {
        // A pin of an operator, made at any time before this transaction, holds `live` where it is.
        aliases::accept(transaction, learner, version).await?;
    }
    let replaced = checkpoint_blobs(transaction, learner).await?;
    replace_checkpoint(transaction, learner, &commit.checkpoint).await?;
    journal::append(transaction, learner, &commit.journal).await?;
    for outcome in &commit.tickets {
        tickets::finish(transaction, learner, outcome).await?;
    }
    if let Some(schema) = &commit.schema {
        learners::replace_schema(transaction, learner, schema).await?;
    }
    Ok(replaced)
}

/// Writes the one checkpoint of a learner. Its blobs must be there whole and named already ([`blobs::name`]).
pub(super) async fn replace_checkpoint(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO checkpoints
         (learner_id, position, trained_seq, last_version, accepted, weights, optimizer, model, progress)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (learner_id) DO UPDATE SET
         position = excluded.position, trained_seq = excluded.trained_seq, last_version = excluded.last_version,
         accepted = excluded.accepted,
         weights = excluded.weights, optimizer = excluded.optimizer, model = excluded.model,
         progress = excluded.progress",
    )
    .bind(learner.0)
    .bind(kept(checkpoint.position)?)
    .bind(kept(checkpoint.trained_seq.0)?)
    .bind(kept(checkpoint.last_version.0)?)
    .bind(kept(checkpoint.accepted.0)?)
    .bind(checkpoint.weights.as_bytes().as_slice())
    .bind(checkpoint.optimizer.as_bytes().as_slice())
    .bind(json(&checkpoint.model)?)
    .bind(json(&checkpoint.progress)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The version that a learner's trainer accepted last.
pub(super) async fn accepted(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
) -> Result<Option<VersionId>, StoreError> {
    let accepted: Option<i64> = sqlx::query_scalar("SELECT accepted FROM checkpoints WHERE learner_id = $1")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await?;
    accepted.map(|version| rows::accepted(learner, version)).transpose()
}

async fn checkpoint_blobs(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
) -> Result<BTreeSet<BlobDigest>, StoreError> {
    let row = sqlx::query("SELECT weights, optimizer FROM checkpoints WHERE learner_id = $1")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await?;
    row.map_or_else(|| Ok(BTreeSet::new()), |row| rows::checkpoint_blobs(learner, &row))
}
