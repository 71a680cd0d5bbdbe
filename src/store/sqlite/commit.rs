//! A trainer's commit: the fence, then everything that becomes visible at once.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::write::WriteTransaction;
use super::{SqliteStore, aliases, blobs, journal, learners, leases, tickets, versions};
use crate::registry::{BlobDigest, VersionId};
use crate::store::values::{digest, document, json, kept, now, number};
use crate::stream::{LearnerId, Seq, StoreError};
use crate::training::{Change, Checkpoint, Commit, Fence, NewVersion};

impl SqliteStore {
    pub(super) async fn commit_all(&self, fence: Fence, commit: Commit) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        if !leases::holds(&mut transaction, fence).await? {
            transaction.roll_back().await?;
            return Err(StoreError::LeaseLost);
        }
        let gone = publish(&mut transaction, fence.learner, &commit).await?;
        told(&mut transaction, fence.learner, &commit);
        transaction.commit().await?;
        // The commit stands whatever becomes of the old parts: the next sweep takes what stays.
        if let Err(error) = self.delete_parts(&gone).await {
            tracing::info!(learner = fence.learner.0, %error, "parts of replaced blobs are left to the next sweep");
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
        row.as_ref().map(|row| checkpoint(learner, row)).transpose()
    }
}

/// Writes all of a commit; the numbers of the blobs that the replaced checkpoint was the last to name.
async fn publish(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    commit: &Commit,
) -> Result<Vec<i64>, StoreError> {
    let at = now();
    for digest in mentions(&commit.checkpoint, &commit.versions) {
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
        gone.extend(blobs::release(transaction, digest).await?);
    }
    Ok(gone)
}

/// What others want to know of a commit.
fn told(transaction: &mut WriteTransaction, learner: LearnerId, commit: &Commit) {
    if commit.live.is_some() {
        transaction.tell(Change::Alias(learner));
    }
    if commit.schema.is_some() {
        transaction.tell(Change::Learner(learner));
    }
    if !commit.tickets.is_empty() {
        transaction.tell(Change::Order(learner));
    }
}

/// Every blob that these rows name, as often as they name it.
pub(super) fn mentions(checkpoint: &Checkpoint, versions: &[NewVersion]) -> impl Iterator<Item = BlobDigest> {
    versions.iter().map(|version| version.digest).chain([checkpoint.weights, checkpoint.optimizer])
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
    accepted.map(|accepted| Ok(VersionId(number(accepted, name(learner))?))).transpose()
}

async fn checkpoint_digests(
    connection: &mut SqliteConnection,
    learner: LearnerId,
) -> Result<BTreeSet<BlobDigest>, StoreError> {
    let row = sqlx::query("SELECT weights, optimizer FROM checkpoints WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(BTreeSet::new()) };
    let what = name(learner);
    Ok(BTreeSet::from([digest(row.try_get("weights")?, &what)?, digest(row.try_get("optimizer")?, &what)?]))
}

fn checkpoint(learner: LearnerId, row: &SqliteRow) -> Result<Checkpoint, StoreError> {
    let what = name(learner);
    Ok(Checkpoint {
        position: number(row.try_get("position")?, &what)?,
        trained_seq: Seq(number(row.try_get("trained_seq")?, &what)?),
        last_version: VersionId(number(row.try_get("last_version")?, &what)?),
        accepted: VersionId(number(row.try_get("accepted")?, &what)?),
        model: document(row.try_get("model")?, &what)?,
        weights: digest(row.try_get("weights")?, &what)?,
        optimizer: digest(row.try_get("optimizer")?, &what)?,
        progress: document(row.try_get("progress")?, &what)?,
    })
}

fn name(learner: LearnerId) -> String {
    format!("the checkpoint of learner {}", learner.0)
}
