//! `GET /v1/learners/{learner}/aliases/{alias}`: what an alias names, with its generation as `ETag`.

use axum::extract::State;
use axum::response::Response;

use super::alias_view;
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;

/// The alias.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let alias = path.alias()?;
    let learner = path.learner(&state).await?.id;
    let found = state.store.alias_state(learner, &alias).await?.ok_or_else(Problem::alias_not_found)?;
    Ok(alias_view::answer(found))
}
