//! `GET /v1/learners/{learner}/aliases/{alias}/history`: who moved an alias, when and why; with `?at=` what it named then.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::path::PathValues;
use super::problem::Problem;
use super::query::{self, Query};
use super::state::AppState;
use crate::registry::{AliasName, AliasRecord, VersionId};

/// A page of changes.
#[derive(Serialize)]
struct Page {
    alias: AliasName,
    changes: Vec<AliasRecord>,
    next_after: Option<u64>,
}

/// What held at a time.
#[derive(Serialize)]
struct Then {
    alias: AliasName,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What it named; null if it was not there.
    version: Option<VersionId>,
    /// The change that held.
    change: Option<AliasRecord>,
}

/// The changes after the generation `after`, at most `limit`; or the one that held `at` a time.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Response, Problem> {
    let alias = path.alias()?;
    let at = query.text("at").map(time_of).transpose()?;
    query.only(if at.is_some() { &["at"] } else { &["limit", "after", "at"] })?;
    let (limit, after) = (query.limit()?, query.number("after")?.unwrap_or(0));
    let learner = path.learner(&state).await?.id;
    // Also an alias that is gone has a history; one that never was has none.
    if state.store.alias_history(learner, &alias, 0, 1).await?.is_empty() {
        return Err(Problem::alias_not_found());
    }
    if let Some(at) = at {
        let change = state.store.alias_at(learner, &alias, at).await?;
        let version = change.as_ref().and_then(|change| change.to);
        return Ok(Json(Then { alias, at, version, change }).into_response());
    }
    let changes = state.store.alias_history(learner, &alias, after, limit).await?;
    let next_after = changes.last().filter(|_| changes.len() == limit).map(|change| change.generation);
    Ok(Json(Page { alias, changes, next_after }).into_response())
}

fn time_of(text: &str) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| query::fault("at", "must be a time as in RFC 3339, such as 2026-03-01T12:00:00Z"))
}
