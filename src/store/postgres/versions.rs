//! The table of versions.

use sqlx::PgConnection;

use super::write::WriteTransaction;
use crate::registry::retention::Kept;
use crate::registry::{Ancestor, BlobDigest, Cause, Version, VersionId};
use crate::store::rows;
use crate::store::values::{bound, json, kept};
use crate::stream::{LearnerId, StoreError};
use crate::training::NewVersion;

/// Publishes a version. Its weights must be there whole and named already ([`super::blobs::name`]).
pub(super) async fn insert(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    version: &NewVersion,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO versions
         (learner_id, version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model)
         VALUES ($1, $2, $3, $4, $5, micros(), $6, $7, TRUE, $8)",
    )
    .bind(learner.0)
    .bind(kept(version.version.0)?)
    .bind(version.parent.map(|parent| kept(parent.0)).transpose()?)
    .bind(json(&version.cause)?)
    .bind(kept(version.trained_seq.0)?)
    .bind(json(&version.metrics)?)
    .bind(version.digest.as_bytes().as_slice())
    .bind(json(&version.model)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// One version.
pub(super) async fn one(
    connection: &mut PgConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<Version>, StoreError> {
    let row = sqlx::query(
        "SELECT version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model
         FROM versions WHERE learner_id = $1 AND version = $2",
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .fetch_optional(connection)
    .await?;
    Ok(rows::decode(learner, row.into_iter().collect(), rows::version).await?.pop())
}

/// The versions after a number, in order.
pub(super) async fn after(
    connection: &mut PgConnection,
    learner: LearnerId,
    after: VersionId,
    limit: usize,
) -> Result<Vec<Version>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model
         FROM versions WHERE learner_id = $1 AND version > $2 ORDER BY version LIMIT $3",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::version).await
}

/// The versions that have their weights.
pub(super) async fn with_weights(connection: &mut PgConnection, learner: LearnerId) -> Result<Vec<Kept>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, parent, cause FROM versions WHERE learner_id = $1 AND weights_kept ORDER BY version",
    )
    .bind(learner.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::kept(learner, row)).collect()
}

/// Marks a version's weights as dropped; the blob that they were.
pub(super) async fn drop_weights(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    version: VersionId,
) -> Result<BlobDigest, StoreError> {
    let dropped: Vec<u8> = sqlx::query_scalar(
        "UPDATE versions SET weights_kept = FALSE WHERE learner_id = $1 AND version = $2 RETURNING digest",
    )
    .bind(learner.0)
    .bind(kept(version.0)?)
    .fetch_one(&mut **transaction)
    .await?;
    rows::weights(learner, version, &dropped)
}

/// A version and those that it came from, newest first.
pub(super) async fn lineage(
    connection: &mut PgConnection,
    learner: LearnerId,
    version: VersionId,
    limit: usize,
) -> Result<Vec<Ancestor>, StoreError> {
    // A parent is older than its child, whatever a damaged row says: the walk ends.
    let rows = sqlx::query(
        "WITH RECURSIVE chain (number, depth) AS (
             SELECT $2::bigint, 1::bigint
             UNION ALL
             SELECT parent, depth + 1 FROM chain JOIN versions ON learner_id = $1 AND version = number
             WHERE parent < number AND depth < $3
         )
         SELECT version, parent, cause, trained_seq, created_at, metrics, weights_kept
         FROM chain JOIN versions ON learner_id = $1 AND version = number ORDER BY depth LIMIT $3",
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::ancestor(learner, row)).collect()
}

/// Why a version exists; `None` if there is no such version.
pub(super) async fn cause(
    connection: &mut PgConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<Cause>, StoreError> {
    let cause: Option<String> = sqlx::query_scalar("SELECT cause FROM versions WHERE learner_id = $1 AND version = $2")
        .bind(learner.0)
        .bind(bound(version.0))
        .fetch_optional(connection)
        .await?;
    cause.map(|cause| rows::cause(learner, version, &cause)).transpose()
}

/// Whether a version has its weights; `None` if there is no such version.
pub(super) async fn has_weights(
    connection: &mut PgConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<bool>, StoreError> {
    let kept: Option<bool> =
        sqlx::query_scalar("SELECT weights_kept FROM versions WHERE learner_id = $1 AND version = $2")
            .bind(learner.0)
            .bind(bound(version.0))
            .fetch_optional(connection)
            .await?;
    Ok(kept)
}
