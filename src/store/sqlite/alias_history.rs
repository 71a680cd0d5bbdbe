//! The table of aliases' histories: dense generations, given inside the write lock, at times that never go back.

use sqlx::SqliteConnection;
use time::OffsetDateTime;

use crate::registry::{AliasName, AliasRecord, VersionId};
use crate::store::alias_entry::Entry;
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::{bound, kept, micros};
use crate::stream::{LearnerId, StoreError};

/// Writes a change behind the alias's last; its generation.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    entry: &Entry,
    at: i64,
) -> Result<u64, StoreError> {
    let last = sqlx::query(
        "SELECT generation, at FROM alias_history WHERE learner_id = ? AND alias = ? ORDER BY generation DESC LIMIT 1",
    )
    .bind(learner.0)
    .bind(entry.alias.as_str().to_owned())
    .fetch_optional(&mut *connection)
    .await?;
    let (last, last_at): (i64, i64) = match last {
        Some(row) => (row.integer("generation")?, row.integer("at")?),
        None => (0, at),
    };
    let generation = rows::generation(learner, last)? + 1;
    sqlx::query(
        "INSERT INTO alias_history
         (learner_id, alias, generation, action, from_version, to_version, pinned, actor, reason, at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(learner.0)
    .bind(entry.alias.as_str().to_owned())
    .bind(kept(generation)?)
    .bind(entry.action.as_str())
    .bind(entry.from.map(|version| kept(version.0)).transpose()?)
    .bind(entry.to.map(|version| kept(version.0)).transpose()?)
    .bind(entry.pinned)
    .bind(entry.actor.as_str().to_owned())
    .bind(entry.reason.clone())
    // A clock that was set back must not make "what held at this time" ambiguous.
    .bind(at.max(last_at))
    .execute(connection)
    .await?;
    Ok(generation)
}

/// The changes after a generation, in order, at most so many.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &AliasName,
    (after, limit): (u64, usize),
) -> Result<Vec<AliasRecord>, StoreError> {
    let rows = sqlx::query(
        "SELECT generation, action, from_version, to_version, pinned, actor, reason, at FROM alias_history
         WHERE learner_id = ? AND alias = ? AND generation > ? ORDER BY generation LIMIT ?",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .bind(bound(after))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::alias_change(learner, row)).collect()
}

/// The newest change until a time.
pub(super) async fn until(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &AliasName,
    at: OffsetDateTime,
) -> Result<Option<AliasRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT generation, action, from_version, to_version, pinned, actor, reason, at FROM alias_history
         WHERE learner_id = ? AND alias = ? AND at <= ? ORDER BY at DESC, generation DESC LIMIT 1",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .bind(micros(at))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| rows::alias_change(learner, row)).transpose()
}

/// The versions below a number that an alias has named and that have their weights, newest first, at most so many.
pub(super) async fn targets(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &AliasName,
    (below, limit): (VersionId, usize),
) -> Result<Vec<VersionId>, StoreError> {
    let targets: Vec<i64> = sqlx::query_scalar(
        "SELECT version FROM versions WHERE learner_id = ?1 AND version < ?3 AND weights_kept = 1
         AND version IN (SELECT to_version FROM alias_history WHERE learner_id = ?1 AND alias = ?2)
         ORDER BY version DESC LIMIT ?4",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .bind(bound(below.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    targets.into_iter().map(|version| rows::aliased(learner, version)).collect()
}

/// What an alias's newest moves led to.
pub(super) async fn newest_targets(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &AliasName,
    moves: usize,
) -> Result<Vec<VersionId>, StoreError> {
    let targets: Vec<i64> = sqlx::query_scalar(
        "SELECT to_version FROM alias_history WHERE learner_id = ? AND alias = ?
         AND to_version IS NOT NULL AND to_version IS NOT from_version ORDER BY generation DESC LIMIT ?",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .bind(bound(moves))
    .fetch_all(connection)
    .await?;
    targets.into_iter().map(|version| rows::aliased(learner, version)).collect()
}
