//! The tables of versions and aliases.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::blobs;
use crate::registry::retention::Kept;
use crate::registry::{Version, VersionId};
use crate::store::rows;
use crate::store::values::{bound, json, kept};
use crate::stream::{LearnerId, StoreError};
use crate::training::NewVersion;

/// The alias that predictions use by default.
pub(super) const LIVE: &str = "live";

/// Publishes a version. Its weights must be there whole and named already ([`blobs::name`]).
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: &NewVersion,
    at: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO versions
         (learner_id, version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
    )
    .bind(learner.0)
    .bind(kept(version.version.0)?)
    .bind(version.parent.map(|parent| kept(parent.0)).transpose()?)
    .bind(json(&version.cause)?)
    .bind(kept(version.trained_seq.0)?)
    .bind(at)
    .bind(json(&version.metrics)?)
    .bind(version.digest.as_bytes().to_vec())
    .bind(json(&version.model)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// One version.
pub(super) async fn one(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<Version>, StoreError> {
    let row = sqlx::query(
        "SELECT version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model
         FROM versions WHERE learner_id = ? AND version = ?",
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .fetch_optional(connection)
    .await?;
    Ok(rows::decode(learner, row.into_iter().collect(), rows::version).await?.pop())
}

/// The versions after a number, in order.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: VersionId,
    limit: usize,
) -> Result<Vec<Version>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, parent, cause, trained_seq, created_at, metrics, digest, weights_kept, model
         FROM versions WHERE learner_id = ? AND version > ? ORDER BY version LIMIT ?",
    )
    .bind(learner.0)
    .bind(bound(after.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows::decode(learner, rows, rows::version).await
}

/// The versions that have their weights.
pub(super) async fn with_weights(
    connection: &mut SqliteConnection,
    learner: LearnerId,
) -> Result<Vec<Kept>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, parent, cause FROM versions WHERE learner_id = ? AND weights_kept = 1 ORDER BY version",
    )
    .bind(learner.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::kept(learner, row)).collect()
}

/// Marks a version's weights as dropped and lets go of its blob; the blob's number if nothing else holds it.
pub(super) async fn drop_weights(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<i64>, StoreError> {
    let dropped: Vec<u8> = sqlx::query_scalar(
        "UPDATE versions SET weights_kept = 0 WHERE learner_id = ? AND version = ? RETURNING digest",
    )
    .bind(learner.0)
    .bind(kept(version.0)?)
    .fetch_one(&mut *connection)
    .await?;
    blobs::release(connection, rows::weights(learner, version, &dropped)?).await
}

/// Lets an alias name a version; refused by the database if there is no such version.
pub(super) async fn point(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &'static str,
    version: VersionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO aliases (learner_id, alias, version) VALUES (?, ?, ?)
         ON CONFLICT (learner_id, alias) DO UPDATE SET version = excluded.version",
    )
    .bind(learner.0)
    .bind(alias)
    .bind(kept(version.0)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// What an alias names.
pub(super) async fn named(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &str,
) -> Result<Option<VersionId>, StoreError> {
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM aliases WHERE learner_id = ? AND alias = ?")
        .bind(learner.0)
        .bind(alias.to_owned())
        .fetch_optional(connection)
        .await?;
    version.map(|version| rows::aliased(learner, version)).transpose()
}

/// Every version that an alias names.
pub(super) async fn aliased(
    connection: &mut SqliteConnection,
    learner: LearnerId,
) -> Result<BTreeSet<VersionId>, StoreError> {
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM aliases WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_all(connection)
        .await?;
    versions.into_iter().map(|version| rows::aliased(learner, version)).collect()
}
