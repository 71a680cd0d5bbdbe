//! The tables of versions and aliases.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::write::WriteTransaction;
use crate::registry::retention::Kept;
use crate::registry::{BlobDigest, Version, VersionId};
use crate::store::rows;
use crate::store::values::{bound, json, kept};
use crate::stream::{LearnerId, StoreError};
use crate::training::NewVersion;

/// The alias that predictions use by default.
pub(super) const LIVE: &str = "live";

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

/// Lets an alias name a version; refused by the database if there is no such version.
pub(super) async fn point(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    alias: &str,
    version: VersionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO aliases (learner_id, alias, version) VALUES ($1, $2, $3)
         ON CONFLICT (learner_id, alias) DO UPDATE SET version = excluded.version",
    )
    .bind(learner.0)
    .bind(alias)
    .bind(kept(version.0)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What an alias names.
pub(super) async fn named(
    connection: &mut PgConnection,
    learner: LearnerId,
    alias: &str,
) -> Result<Option<VersionId>, StoreError> {
    if alias.contains('\0') {
        // No TEXT holds it, so nothing has that name.
        return Ok(None);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM aliases WHERE learner_id = $1 AND alias = $2")
        .bind(learner.0)
        .bind(alias)
        .fetch_optional(connection)
        .await?;
    version.map(|version| rows::aliased(learner, version)).transpose()
}

/// Every version that an alias names.
pub(super) async fn aliased(
    connection: &mut PgConnection,
    learner: LearnerId,
) -> Result<BTreeSet<VersionId>, StoreError> {
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM aliases WHERE learner_id = $1")
        .bind(learner.0)
        .fetch_all(connection)
        .await?;
    versions.into_iter().map(|version| rows::aliased(learner, version)).collect()
}
