//! A trainer's commit: the fence, then everything that becomes visible at once.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::sweep::release;
use super::write::WriteTransaction;
use super::{SqliteStore, aliases, blobs, journal, learners, leases, tickets, versions};
use crate::registry::{BlobDigest, VersionId};
use crate::store::objects::Remains;
use crate::store::values::{json, kept, now};
use crate::store::{commits, rows};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Checkpoint, Commit, Fence};

impl SqliteStore {
    pub(super) async fn commit_all(&self, fence: Fence, commit: Commit) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        if !leases::holds(&mut transaction, fence).await? {
            transaction.roll_back().await?;
            return Err(StoreError::LeaseLost);
        }
        let gone = publish(&mut transaction, fence.learner, &commit).await?;
        commits::changes(fence.learner, &commit).for_each(|change| transaction.tell(change));
        transaction.commit().await?;
        // The commit stands whatever becomes of the old bytes: the next sweep takes what stays.
        if let Err(error) = self.delete_bytes(&gone).await {
            tracing::info!(learner = fence.learner.0, %error, "the bytes of replaced blobs are left to the next sweep");
        }
        Ok(())
    }

    pub(super) async fn read_checkpoint(&self, learner: LearnerId) -> Result<Option<Checkpoint>, StoreError> {
        let row = sqlx::query(
            "SELECT position, trained_seq, last_version, accepted, weights, optimizer, model, progress
             FROM checkpoints WHERE learner_id = ?",
        )
        .bind(learner.0)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(|row| rows::checkpoint(learner, row)).transpose()
    }
}

/// Writes all of a commit; what is left of the blobs that the replaced checkpoint was the last to name.
async fn publish(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    commit: &Commit,
) -> Result<Vec<Remains>, StoreError> {
    let at = now();
    for digest in commits::mentions(&commit.checkpoint, &commit.versions) {
        blobs::name(transaction, digest).await?;
    }
    for version in &commit.versions {
        versions::insert(transaction, learner, version, at).await?;
    }
    if let Some(version) = commit.live {
        // A pin of an operator, made at any time before this transaction, holds `live` where it is.
        aliases::accept(transaction, learner, version, at).await?;
    }
    let replaced = checkpoint_digests(transaction, learner).await?;
    replace_checkpoint(transaction, learner, &commit.checkpoint).await?;
    journal::append(transaction, learner, &commit.journal, at).await?;
    for outcome in &commit.tickets {
        tickets::finish(transaction, learner, outcome).await?;
    }
    if let Some(schema) = &commit.schema {
        learners::replace_schema(transaction, learner, schema).await?;
    }
    let mut gone = Vec::new();
    for digest in replaced {
        gone.extend(release(transaction, digest).await?);
    }
    Ok(gone)
}

/// Writes the one checkpoint of a learner. Its blobs must be there whole and named already ([`blobs::name`]).
pub(super) async fn replace_checkpoint(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO checkpoints
         (learner_id, position, trained_seq, last_version, accepted, weights, optimizer, model, progress)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(learner.0)
    .bind(kept(checkpoint.position)?)
    .bind(kept(checkpoint.trained_seq.0)?)
    .bind(kept(checkpoint.last_version.0)?)
    .bind(kept(checkpoint.accepted.0)?)
    .bind(checkpoint.weights.as_bytes().to_vec())
    .bind(checkpoint.optimizer.as_bytes().to_vec())
    .bind(json(&checkpoint.model)?)
    .bind(json(&checkpoint.progress)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The version that a learner's trainer accepted last.
pub(super) async fn accepted(
    connection: &mut SqliteConnection,
    learner: LearnerId,
) -> Result<Option<VersionId>, StoreError> {
    let accepted: Option<i64> = sqlx::query_scalar("SELECT accepted FROM checkpoints WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_optional(connection)
        .await?;
    accepted.map(|version| rows::accepted(learner, version)).transpose()
}

async fn checkpoint_digests(
    connection: &mut SqliteConnection,
    learner: LearnerId,
) -> Result<BTreeSet<BlobDigest>, StoreError> {
    let row = sqlx::query("SELECT weights, optimizer FROM checkpoints WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_optional(connection)
        .await?;
    row.map_or_else(|| Ok(BTreeSet::new()), |row| rows::checkpoint_blobs(learner, &row))
}
