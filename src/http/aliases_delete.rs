//! `DELETE /v1/learners/{learner}/aliases/{alias}`: an alias goes; its history stays. Never `live`, never a pinned one.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::alias_change;
use super::alias_request::Request;
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::registry::AliasEdit;

/// Deletes the alias.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    query.only(&["reason"])?;
    let alias = path.alias()?;
    let request = Request::read(&state, &headers, query.text("reason").map(str::to_owned))?;
    let record = path.learner(&state).await?;
    let order = request.order(&alias, AliasEdit::Delete);
    unbroken(tokio::spawn(async move { Ok(alias_change::make(&state, &record, &order).await?) })).await?;
    Ok(StatusCode::NO_CONTENT)
}
