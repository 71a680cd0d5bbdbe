//! The table of aliases. What a change does is decided by [`crate::registry::alias`], inside the transaction that makes it.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::alias_history;
use super::versions;
use super::write::WriteTransaction;
use crate::registry::alias::{self, Outcome};
use crate::registry::{Alias, AliasAction, AliasError, AliasName, AliasOrder, VersionId};
use crate::store::alias_entry::Entry;
use crate::store::columns::Columns as _;
use crate::store::rows;
use crate::store::values::{bound, kept, now};
use crate::stream::{LearnerId, StoreError};
use crate::training::Change;

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

/// An alias.
pub(super) async fn one(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    alias: &AliasName,
) -> Result<Option<Alias>, StoreError> {
    let row = sqlx::query(
        "SELECT aliases.alias, version, aliases.pinned, waiting, generation, at
         FROM aliases JOIN alias_history USING (learner_id, alias, generation) WHERE learner_id = ? AND alias = ?",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| rows::alias(learner, row)).transpose()
}

/// The aliases after a name, in order.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    after: Option<&AliasName>,
    limit: usize,
) -> Result<Vec<Alias>, StoreError> {
    let rows = sqlx::query(
        "SELECT aliases.alias, version, aliases.pinned, waiting, generation, at
         FROM aliases JOIN alias_history USING (learner_id, alias, generation) WHERE learner_id = ? AND alias > ?
         ORDER BY alias LIMIT ?",
    )
    .bind(learner.0)
    .bind(after.map_or("", AliasName::as_str).to_owned())
    .bind(bound(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| rows::alias(learner, row)).collect()
}

/// Every pinned alias.
pub(super) async fn pinned(connection: &mut SqliteConnection) -> Result<Vec<(LearnerId, AliasName)>, StoreError> {
    let rows = sqlx::query("SELECT learner_id, alias FROM aliases WHERE pinned = 1").fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let learner = LearnerId(row.integer("learner_id")?);
            Ok((learner, rows::alias_name(learner, row)?))
        })
        .collect()
}

/// The versions that aliases need: what they name, what waits for them, the targets of their newest moves.
pub(super) async fn needed(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    moves: usize,
) -> Result<BTreeSet<VersionId>, StoreError> {
    let mut needed = BTreeSet::new();
    for alias in after(connection, learner, None, usize::MAX).await? {
        needed.insert(alias.version);
        needed.extend(alias.waiting);
        needed.extend(alias_history::newest_targets(connection, learner, &alias.name, moves).await?);
    }
    Ok(needed)
}

/// The trainer accepts a version: `live` moves to it, or it waits if an operator pinned `live`. The version must be there.
pub(super) async fn accept(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    version: VersionId,
    at: i64,
) -> Result<(), StoreError> {
    let live = AliasName::live();
    let now = one(transaction, learner, &live).await?;
    if now.as_ref().is_some_and(|alias| alias.pinned) {
        // The reference to versions is kept for what waits too: it may be moved to at any time.
        if versions::has_weights(transaction, learner, version).await? != Some(true) {
            return Err(StoreError::Unavailable(format!("version {version} is not there and cannot wait for `live`")));
        }
        sqlx::query("UPDATE aliases SET waiting = ? WHERE learner_id = ? AND alias = ?")
            .bind(kept(version.0)?)
            .bind(learner.0)
            .bind(live.as_str().to_owned())
            .execute(&mut **transaction)
            .await?;
        return Ok(());
    }
    if now.as_ref().is_some_and(|alias| alias.version == version) {
        return Ok(());
    }
    let cause = versions::cause(transaction, learner, version).await?;
    let entry = Entry::of_trainer(now.as_ref(), version, cause.as_ref());
    let generation = alias_history::append(transaction, learner, &entry, at).await?;
    write(transaction, learner, (&live, generation), (version, false, None)).await
}

/// Changes an alias as somebody asks; what it is afterwards.
pub(super) async fn change(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    order: &AliasOrder,
) -> Result<Option<Alias>, AliasError> {
    let there = sqlx::query("SELECT 1 FROM learners WHERE id = ?")
        .bind(learner.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(StoreError::from)?;
    if there.is_none() {
        return Err(AliasError::LearnerGone);
    }
    let now = one(transaction, learner, &order.alias).await?;
    match alias::decide(now.as_ref(), order)? {
        Outcome::Stays => return Ok(now),
        Outcome::Goes => {
            let entry = Entry::of_order(now.as_ref(), order, AliasAction::Deleted, None);
            alias_history::append(transaction, learner, &entry, self::now()).await?;
            sqlx::query("DELETE FROM aliases WHERE learner_id = ? AND alias = ?")
                .bind(learner.0)
                .bind(order.alias.as_str().to_owned())
                .execute(&mut **transaction)
                .await
                .map_err(StoreError::from)?;
        }
        Outcome::Becomes { action, version, pinned } => {
            if now.as_ref().is_none_or(|alias| alias.version != version) {
                match versions::has_weights(transaction, learner, version).await? {
                    Some(true) => {}
                    Some(false) => return Err(AliasError::WeightsGone(version)),
                    None => return Err(AliasError::UnknownVersion(version)),
                }
            }
            if now.is_none() && count(transaction, learner).await? >= order.most {
                return Err(AliasError::TooMany(order.most));
            }
            let entry = Entry::of_order(now.as_ref(), order, action, Some((version, pinned)));
            let generation = alias_history::append(transaction, learner, &entry, self::now()).await?;
            let waiting = alias::waiting(now.as_ref(), version, pinned);
            write(transaction, learner, (&order.alias, generation), (version, pinned, waiting)).await?;
        }
    }
    transaction.tell(Change::Alias(learner));
    Ok(one(transaction, learner, &order.alias).await?)
}

/// Writes an alias's row; refused by the database if there is no such version.
async fn write(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    (alias, generation): (&AliasName, u64),
    (version, pinned, waiting): (VersionId, bool, Option<VersionId>),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO aliases (learner_id, alias, version, generation, pinned, waiting) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (learner_id, alias) DO UPDATE SET version = excluded.version, generation = excluded.generation,
         pinned = excluded.pinned, waiting = excluded.waiting",
    )
    .bind(learner.0)
    .bind(alias.as_str().to_owned())
    .bind(kept(version.0)?)
    .bind(kept(generation)?)
    .bind(pinned)
    .bind(waiting.map(|waiting| kept(waiting.0)).transpose()?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn count(connection: &mut SqliteConnection, learner: LearnerId) -> Result<usize, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM aliases WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
