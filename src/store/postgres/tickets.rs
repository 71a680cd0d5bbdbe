//! The table of growth orders: dense numbers, given under the lock of the learner.

use super::PostgresStore;
use super::write::WriteTransaction;
use crate::store::columns::Columns as _;
use crate::store::rows::{self, state_text};
use crate::store::values::{bound, json, kept, number, time};
use crate::stream::{LearnerId, StoreError};
use crate::training::store::TicketOutcome;
use crate::training::{Change, GrowthOrder, GrowthTicket, TicketState};

impl PostgresStore {
    pub(super) async fn insert_ticket(
        &self,
        learner: LearnerId,
        order: &GrowthOrder,
    ) -> Result<GrowthTicket, StoreError> {
        let mut transaction = self.write().await?;
        if !transaction.lock_learner(learner).await? {
            transaction.roll_back().await?;
            return Err(StoreError::Unavailable(format!("learner {} is gone", learner.0)));
        }
        let row = sqlx::query(
            "INSERT INTO tickets (learner_id, id, growth, state, created_at)
             SELECT $1, COALESCE(MAX(id), 0) + 1, $2, $3, micros() FROM tickets WHERE learner_id = $1
             RETURNING id, created_at",
        )
        .bind(learner.0)
        .bind(json(order)?)
        .bind(state_text(TicketState::Planned))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.tell(Change::Order(learner));
        transaction.commit().await?;
        let id = row.integer("id")?;
        let what = format!("ticket {id} of learner {}", learner.0);
        Ok(GrowthTicket {
            id: number(id, &what)?,
            order: order.clone(),
            state: TicketState::Planned,
            created_at: time(row.integer("created_at")?, &what)?,
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
             WHERE learner_id = $1 AND id = $2",
        )
        .bind(learner.0)
        .bind(bound(id))
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(|row| rows::ticket(learner, row)).transpose()
    }

    pub(super) async fn oldest_planned(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError> {
        let row = sqlx::query(
            "SELECT id, growth, state, created_at, event, refusal, failure FROM tickets
             WHERE learner_id = $1 AND state = 'planned' ORDER BY id LIMIT 1",
        )
        .bind(learner.0)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(|row| rows::ticket(learner, row)).transpose()
    }
}

/// Writes what became of an order. One that is done already keeps its first outcome.
pub(super) async fn finish(
    transaction: &mut WriteTransaction,
    learner: LearnerId,
    outcome: &TicketOutcome,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tickets SET state = $1, event = $2, refusal = $3, failure = $4
         WHERE learner_id = $5 AND id = $6 AND state = 'planned'",
    )
    .bind(state_text(outcome.state))
    .bind(outcome.event.as_ref().map(json).transpose()?)
    .bind(outcome.refusal.as_ref().map(json).transpose()?)
    // A reason is for people: one with a NUL, which TEXT cannot hold, is told without it.
    .bind(outcome.failure.as_ref().map(|failure| failure.replace('\0', "")))
    .bind(learner.0)
    .bind(kept(outcome.id)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
