//! The table of journals: dense positions, given under the lock of the lease.

use sqlx::PgConnection;

use super::write::WriteTransaction;
use super::{PostgresStore, leases};
use crate::registry::VersionId;
use crate::store::rows;
use crate::store::values::{bound, json, kept, number};
use crate::stream::{LearnerId, StoreError};
use crate::training::{Fence, JournalEvent, JournalRecord};

impl PostgresStore {
    pub(super) async fn write_journal(&self, fence: Fence, events: &[JournalEvent]) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        if !leases::holds(&mut transaction, fence).await? {
            transaction.roll_back().await?;
            return Err(StoreError::LeaseLost);
        }
        let position = append(&mut transaction, fence.learner, events).await?;
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
        let rows = if kinds.is_empty() {
            sqlx::query(
                "SELECT position, at, event FROM journal WHERE learner_id = $1 AND position > $2
                 ORDER BY position LIMIT $3",
            )
            .bind(learner.0)
            .bind(bound(after))
            .bind(bound(limit))
        } else {
            // Each kind is read along its index, in order, so rare kinds cost little.
            sqlx::query(
                "SELECT position, at, event FROM (SELECT DISTINCT kind AS wanted FROM unnest($4::text[]) AS of (kind)) AS kinds
                 CROSS JOIN LATERAL (
                     SELECT position, at, event FROM journal
                     WHERE learner_id = $1 AND kind = wanted AND position > $2 ORDER BY position LIMIT $3
                 ) AS events
                 ORDER BY position LIMIT $3",
            )
            .bind(learner.0)
            .bind(bound(after))
            .bind(bound(limit))
            .bind(kinds)
        };
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter().map(|row| rows::event(learner, row)).collect()
    }
}

/// The event of the growth that made a version.
pub(super) async fn growth_of(
    connection: &mut PgConnection,
    learner: LearnerId,
    version: VersionId,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sqlx::query(
        r#"SELECT position, at, event FROM journal
           WHERE learner_id = $1 AND kind = 'grown'
           AND CAST(substring(event FROM '"version":([0-9]+)') AS BIGINT) = $2 ORDER BY position LIMIT 1"#,
    )
    .bind(learner.0)
    .bind(bound(version.0))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| rows::event(learner, row)).transpose()
}

/// Writes events behind the journal's last; the position of the last afterwards (0: there is none). The lease is locked.
pub(super) async fn append(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    events: &[JournalEvent],
) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(position) FROM journal WHERE learner_id = $1")
        .bind(learner.0)
        .fetch_one(&mut **transaction)
        .await?;
    let last = number(last.unwrap_or(0), format_args!("the journal of learner {}", learner.0))?;
    if events.is_empty() {
        return Ok(last);
    }
    let kinds: Vec<&str> = events.iter().map(JournalEvent::kind).collect();
    let documents = events.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO journal (learner_id, position, kind, at, event)
         SELECT $1, $2 + place, kind, (SELECT micros()), event
         FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS new (kind, event, place)",
    )
    .bind(learner.0)
    .bind(kept(last)?)
    .bind(kinds)
    .bind(documents)
    .execute(&mut **transaction)
    .await?;
    Ok(last + events.len() as u64)
}
