//! The table of journals: dense positions, given inside the write lock.

use sqlx::SqliteConnection;

use super::{SqliteStore, leases};
use crate::registry::VersionId;
use crate::store::rows;
use crate::store::values::{bound, json, kept, now, number};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Fence, JournalEvent, JournalRecord};

impl SqliteStore {
    pub(super) async fn write_journal(&self, fence: Fence, events: &[JournalEvent]) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        if !leases::holds(&mut transaction, fence).await? {
            transaction.roll_back().await?;
            return Err(StoreError::LeaseLost);
        }
        let position = append(&mut transaction, fence.learner, events, now()).await?;
        transaction.commit().await?;
        Ok(position)
    }

    pub(super) async fn read_journal(
        &self,
        learner: LearnerId,
        after: u64,
        kinds: &[&str],
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        // One snapshot for all kinds; each is read along its index, in order, so rare kinds cost little.
        let mut snapshot = self.readers.begin().await?;
        let mut rows = Vec::new();
        if kinds.is_empty() {
            rows = sqlx::query(
                "SELECT position, at, event FROM journal WHERE learner_id = ? AND position > ?
                 ORDER BY position LIMIT ?",
            )
            .bind(learner.0)
            .bind(bound(after))
            .bind(bound(limit))
            .fetch_all(&mut *snapshot)
            .await?;
        }
        for (index, &kind) in kinds.iter().enumerate() {
            if kinds[..index].contains(&kind) {
                continue;
            }
            let found = sqlx::query(
                "SELECT position, at, event FROM journal WHERE learner_id = ? AND kind = ? AND position > ?
                 ORDER BY position LIMIT ?",
            )
            .bind(learner.0)
            .bind(kind.to_owned())
            .bind(bound(after))
            .bind(bound(limit))
            .fetch_all(&mut *snapshot)
            .await?;
            rows.extend(found);
        }
        snapshot.rollback().await?;
        let mut placed =
            rows.iter().map(|row| Ok((rows::position(learner, row)?, row))).collect::<Result<Vec<_>, StoreError>>()?;
        placed.sort_unstable_by_key(|&(position, _)| position);
        placed.truncate(limit);
        placed.into_iter().map(|(_, row)| rows::event(learner, row)).collect()
    }
}

/// The event of the growth that made a version.
pub(super) async fn growth_of(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT position, at, event FROM journal
         WHERE learner_id = ? AND kind = 'grown' AND json_extract(event, '$.version') = ? ORDER BY position LIMIT 1",
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| rows::event(learner, row)).transpose()
}

/// Writes events behind the journal's last; the position of the last afterwards (0: there is none).
pub(super) async fn append(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    events: &[JournalEvent],
    at: i64,
) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(position) FROM journal WHERE learner_id = ?")
        .bind(learner.0)
        .fetch_one(&mut *connection)
        .await?;
    let mut position = number(last.unwrap_or(0), format_args!("the journal of learner {}", learner.0))?;
    for event in events {
        position += 1;
        sqlx::query("INSERT INTO journal (learner_id, position, kind, at, event) VALUES (?, ?, ?, ?, ?)")
            .bind(learner.0)
            .bind(kept(position)?)
            .bind(event.kind())
            .bind(at)
            .bind(json(event)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(position)
}
