//! The table of growth orders.

use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::store::rows::{self, state_text};
use crate::store::values::{bound, json, kept, now, number, time};
use crate::stream::{LearnerId, StoreError};
use crate::training::store::TicketOutcome;
use crate::training::{Change, GrowthOrder, GrowthTicket, TicketState};

impl SqliteStore {
    pub(super) async fn insert_ticket(
        &self,
        learner: LearnerId,
        order: &GrowthOrder,
    ) -> Result<GrowthTicket, StoreError> {
        let at = now();
        let mut transaction = self.write().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO tickets (learner_id, id, growth, state, created_at)
             SELECT ?1, (SELECT COALESCE(MAX(id), 0) + 1 FROM tickets WHERE learner_id = ?1), ?2, ?3, ?4
             FROM learners WHERE id = ?1
             RETURNING id",
        )
        .bind(learner.0)
        .bind(json(order)?)
        .bind(state_text(TicketState::Planned))
        .bind(at)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.tell(Change::Order(learner));
        transaction.commit().await?;
        let id = id.ok_or_else(|| StoreError::Unavailable(format!("learner {} is gone", learner.0)))?;
        let what = format!("ticket {id} of learner {}", learner.0);
        Ok(GrowthTicket {
            id: number(id, &what)?,
            order: order.clone(),
            state: TicketState::Planned,
            created_at: time(at, &what)?,
            event: None,
            refusal: None,
            failure: None,
        })
    }

    pub(super) async fn ticket_numbered(
        &self,
        learner: LearnerId,
        id: u64,
    ) -> Result<Option<GrowthTicket>, StoreError> {
        let row = sqlx::query(
            "SELECT id, growth, state, created_at, event, refusal, failure FROM tickets
             WHERE learner_id = ? AND id = ?",
        )
        .bind(learner.0)
        .bind(bound(id))
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(|row| rows::ticket(learner, row)).transpose()
    }

    pub(super) async fn oldest_planned(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError> {
        let row = sqlx::query(
            "SELECT id, growth, state, created_at, event, refusal, failure FROM tickets
             WHERE learner_id = ? AND state = 'planned' ORDER BY id LIMIT 1",
        )
        .bind(learner.0)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(|row| rows::ticket(learner, row)).transpose()
    }
}

/// Writes what became of an order. One that is done already keeps its first outcome.
pub(super) async fn finish(
    connection: &mut SqliteConnection,
    learner: LearnerId,
    outcome: &TicketOutcome,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tickets SET state = ?, event = ?, refusal = ?, failure = ?
         WHERE learner_id = ? AND id = ? AND state = 'planned'",
    )
    .bind(state_text(outcome.state))
    .bind(outcome.event.as_ref().map(json).transpose()?)
    .bind(outcome.refusal.as_ref().map(json).transpose()?)
    .bind(outcome.failure.clone())
    .bind(learner.0)
    .bind(kept(outcome.id)?)
    .execute(connection)
    .await?;
    Ok(())
}
