//! The table of versions.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::blobs;
use crate::registry::retention::Kept;
use crate::registry::{Ancestor, BlobDigest, Cause, Version, VersionId};
use crate::store::failure::broken_off;
use crate::store::values::{bound, digest, document, json, kept, number, time};
use crate::stream::{LearnerId, Seq, StoreError};
use crate::training::NewVersion;

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
    Ok(decode(learner, row.into_iter().collect()).await?.pop())
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
    decode(learner, rows).await
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
    rows.iter()
        .map(|row| {
            let version = id(learner, row)?;
            let what = name(learner, version);
            Ok(Kept { version, parent: parent(row, &what)?, cause: document(row.try_get("cause")?, &what)? })
        })
        .collect()
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
    let dropped: BlobDigest = digest(&dropped, name(learner, version))?;
    blobs::release(connection, dropped).await
}

/// A version and those that it came from, newest first.
pub(super) async fn lineage(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
    limit: usize,
) -> Result<Vec<Ancestor>, StoreError> {
    // A parent is older than its child, whatever a damaged row says: the walk ends.
    let rows = sqlx::query(
        "WITH RECURSIVE chain (number, depth) AS (
             SELECT ?2, 1
             UNION ALL
             SELECT parent, depth + 1 FROM chain JOIN versions ON learner_id = ?1 AND version = number
             WHERE parent < number AND depth < ?3
         )
         SELECT version, parent, cause, trained_seq, created_at, metrics, weights_kept
         FROM chain JOIN versions ON learner_id = ?1 AND version = number ORDER BY depth LIMIT ?3",
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let version = id(learner, row)?;
            let what = name(learner, version);
            Ok(Ancestor {
                version,
                parent: parent(row, &what)?,
                cause: document(row.try_get("cause")?, &what)?,
                trained_seq: Seq(number(row.try_get("trained_seq")?, &what)?),
                created_at: time(row.try_get("created_at")?, &what)?,
                metrics: document(row.try_get("metrics")?, &what)?,
                weights_kept: row.try_get::<i64, _>("weights_kept")? != 0,
            })
        })
        .collect()
}

/// Why a version exists; `None` if there is no such version.
pub(super) async fn cause(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<Cause>, StoreError> {
    let cause: Option<String> = sqlx::query_scalar("SELECT cause FROM versions WHERE learner_id = ? AND version = ?")
        .bind(learner.0)
        .bind(bound(version.0))
        .fetch_optional(connection)
        .await?;
    cause.map(|cause| document(&cause, name(learner, version))).transpose()
}

/// Whether a version has its weights; `None` if there is no such version.
pub(super) async fn has_weights(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<bool>, StoreError> {
    let kept: Option<i64> =
        sqlx::query_scalar("SELECT weights_kept FROM versions WHERE learner_id = ? AND version = ?")
            .bind(learner.0)
            .bind(bound(version.0))
            .fetch_optional(connection)
            .await?;
    Ok(kept.map(|kept| kept != 0))
}

/// Decodes rows on a thread that may take its time: a model's document can be long.
async fn decode(learner: LearnerId, rows: Vec<SqliteRow>) -> Result<Vec<Version>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tokio::task::spawn_blocking(move || rows.iter().map(|row| version(learner, row)).collect())
        .await
        .map_err(broken_off)?
}

fn version(learner: LearnerId, row: &SqliteRow) -> Result<Version, StoreError> {
    let version = id(learner, row)?;
    let what = name(learner, version);
    Ok(Version {
        version,
        parent: parent(row, &what)?,
        cause: document(row.try_get("cause")?, &what)?,
        trained_seq: Seq(number(row.try_get("trained_seq")?, &what)?),
        created_at: time(row.try_get("created_at")?, &what)?,
        model: document(row.try_get("model")?, &what)?,
        metrics: document(row.try_get("metrics")?, &what)?,
        digest: digest(row.try_get("digest")?, &what)?,
        weights_kept: row.try_get::<i64, _>("weights_kept")? != 0,
    })
}

fn id(learner: LearnerId, row: &SqliteRow) -> Result<VersionId, StoreError> {
    Ok(VersionId(number(row.try_get("version")?, format_args!("a version of learner {}", learner.0))?))
}

fn parent(row: &SqliteRow, what: &str) -> Result<Option<VersionId>, StoreError> {
    let parent: Option<i64> = row.try_get("parent")?;
    parent.map(|parent| Ok(VersionId(number(parent, what)?))).transpose()
}

fn name(learner: LearnerId, version: VersionId) -> String {
    format!("version {version} of learner {}", learner.0)
}
