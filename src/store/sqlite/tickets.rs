//! The table of growth orders.

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteStore;
use crate::store::failure::damaged;
use crate::store::values::{bound, document, json, kept, now, number, time};
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
        row.as_ref().map(|row| ticket(learner, row)).transpose()
    }

    pub(super) async fn oldest_planned(&self, learner: LearnerId) -> Result<Option<GrowthTicket>, StoreError> {
        let row = sqlx::query(
            "SELECT id, growth, state, created_at, event, refusal, failure FROM tickets
             WHERE learner_id = ? AND state = 'planned' ORDER BY id LIMIT 1",
        )
        .bind(learner.0)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(|row| ticket(learner, row)).transpose()
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

fn ticket(learner: LearnerId, row: &SqliteRow) -> Result<GrowthTicket, StoreError> {
    let id: i64 = row.try_get("id")?;
    let what = format!("ticket {id} of learner {}", learner.0);
    let text = |column| row.try_get::<Option<&str>, _>(column);
    let state: &str = row.try_get("state")?;
    Ok(GrowthTicket {
        id: number(id, &what)?,
        order: document(row.try_get("growth")?, &what)?,
        state: serde_json::from_value(Value::from(state)).map_err(|_| damaged(&what, "an unknown state"))?,
        created_at: time(row.try_get("created_at")?, &what)?,
        event: text("event")?.map(|event| document(event, &what)).transpose()?,
        refusal: text("refusal")?.map(|refusal| document(refusal, &what)).transpose()?,
        failure: text("failure")?.map(str::to_owned),
    })
}

/// The state as its column and documents name it.
fn state_text(state: TicketState) -> &'static str {
    match state {
        TicketState::Planned => "planned",
        TicketState::Applied => "applied",
        TicketState::Refused => "refused",
        TicketState::Failed => "failed",
    }
}
