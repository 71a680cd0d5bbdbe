//! The table of aliases' histories: dense generations, given under the learner's lock, at times that never go back.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::registry::{AliasName, AliasRecord, VersionId};
use crate::store::alias_entry::Entry;
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::{bound, kept, micros};
use crate::stream::{LearnerId, StoreError};

/// Writes a change behind the alias's last; its generation.
pub(super) async fn append(
    connection: &mut PgConnection,
    learner: LearnerId,
    entry: &Entry,
) -> Result<u64, StoreError> {
    let last = sqlx::query(
        "SELECT generation, at FROM alias_history WHERE learner_id = $1 AND alias = $2 ORDER BY generation DESC LIMIT 1",
    )
    .bind(learner.0)
    .bind(entry.alias.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let (last, last_at): (i64, i64) = match last {
        Some(row) => (row.integer("generation")?, row.integer("at")?),
        None => (0, 0),
    };
    let generation = rows::generation(learner, last)? + 1;
    sqlx::query(
        "INSERT INTO alias_history
         (learner_id, alias, generation, action, from_version, to_version, pinned, actor, reason, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, GREATEST(micros(), $10))",
    )
    .bind(learner.0)
    .bind(entry.alias.as_str())
    .bind(kept(generation)?)
    .bind(entry.action.as_str())
    .bind(entry.from.map(|version| kept(version.0)).transpose()?)
    .bind(entry.to.map(|version| kept(version.0)).transpose()?)
    .bind(entry.pinned)
    .bind(entry.actor.as_str())
    .bind(entry.reason.as_deref())
    // A clock that was set back must not make "what held at this time" ambiguous.
    .bind(last_at)
    .execute(connection)
    .await?;
    Ok(generation)
}

/// The changes after a generation, in order, at most so many.
pub(super) async fn after(
    connection: &mut PgConnection,
    learner: LearnerId,
    alias: &AliasName,
    (after, limit): (u64, usize),
) -> Result<Vec<AliasRecord>, StoreError> {
    let rows = sqlx::query(
        "SELECT generation, action, from_version, to_version, pinned, actor, reason, at FROM alias_history
         WHERE learner_id = $1 AND alias = $2 AND generation > $3 ORDER BY generation LIMIT $4",
    )
    .bind(learner.0)
    .bind(alias.as_str())
    .bind(bound(after))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::alias_change(learner, row)).collect()
}

/// The newest change until a time.
pub(super) async fn until(
    connection: &mut PgConnection,
    learner: LearnerId,
    alias: &AliasName,
    at: OffsetDateTime,
) -> Result<Option<AliasRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT generation, action, from_version, to_version, pinned, actor, reason, at FROM alias_history
         WHERE learner_id = $1 AND alias = $2 AND at <= $3 ORDER BY at DESC, generation DESC LIMIT 1",
    )
    .bind(learner.0)
    .bind(alias.as_str())
    .bind(micros(at))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| rows::alias_change(learner, row)).transpose()
}

/// The versions below a number that an alias has named and that have their weights, newest first, at most so many.
pub(super) async fn targets(
    connection: &mut PgConnection,
    learner: LearnerId,
    alias: &AliasName,
    (below, limit): (VersionId, usize),
) -> Result<Vec<VersionId>, StoreError> {
    let targets: Vec<i64> = sqlx::query_scalar(
        "SELECT version FROM versions WHERE learner_id = $1 AND version < $3 AND weights_kept
         AND version IN (SELECT to_version FROM alias_history WHERE learner_id = $1 AND alias = $2)
         ORDER BY version DESC LIMIT $4",
    )
    .bind(learner.0)
    .bind(alias.as_str())
    .bind(bound(below.0))
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    targets.into_iter().map(|version| rows::aliased(learner, version)).collect()
}

/// What an alias's newest moves led to.
pub(super) async fn newest_targets(
    connection: &mut PgConnection,
    learner: LearnerId,
    alias: &AliasName,
    moves: usize,
) -> Result<Vec<VersionId>, StoreError> {
    let targets: Vec<i64> = sqlx::query_scalar(
        "SELECT to_version FROM alias_history WHERE learner_id = $1 AND alias = $2
         AND to_version IS NOT NULL AND to_version IS DISTINCT FROM from_version ORDER BY generation DESC LIMIT $3",
    )
    .bind(learner.0)
    .bind(alias.as_str())
    .bind(bound(moves))
    .fetch_all(connection)
    .await?;
    targets.into_iter().map(|version| rows::aliased(learner, version)).collect()
}
