//! `GET /v1/learners/{learner}/growth/{id}`: an operator's order and what became of it.

use axum::Json;
use axum::extract::State;

use super::growth_view::TicketView;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;

/// The order.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<TicketView>, Problem> {
    query.only(&[])?;
    let record = path.known_learner(&state).await?;
    let missing = || Problem::new(Kind::GrowthNotFound, "the learner has no growth order of this number");
    let id = path.number("id", Kind::GrowthNotFound)?;
    if i64::try_from(id).is_err() {
        return Err(missing());
    }
    let ticket = state.store.ticket(record.id, id).await?.ok_or_else(missing)?;
    Ok(Json(ticket.into()))
}
