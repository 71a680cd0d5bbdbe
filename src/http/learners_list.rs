//! `GET /v1/learners`: the learners in order of name.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::learner_view::LearnerSummary;
use super::problem::Problem;
use super::query::{self, Query};
use super::state::AppState;
use crate::stream::LearnerName;

/// A page of learners.
#[derive(Serialize)]
pub struct Page {
    learners: Vec<LearnerSummary>,
    next_after: Option<LearnerName>,
}

/// The learners after the name `after`, at most `limit`.
pub async fn handle(State(state): State<AppState>, query: Query) -> Result<Json<Page>, Problem> {
    query.only(&["limit", "after"])?;
    let limit = query.limit()?;
    let after = match query.text("after") {
        None => None,
        Some(text) => {
            Some(LearnerName::parse(text).map_err(|_| query::fault("after", "must be the name of a learner"))?)
        }
    };
    let records = state.store.learners(after.as_ref(), limit).await?;
    let last = records.last().map(|record| record.document.name.clone());
    let next_after = last.filter(|_| records.len() == limit);
    let mut learners = Vec::with_capacity(records.len());
    for record in records {
        learners.push(LearnerSummary::of(&state, record).await?);
    }
    Ok(Json(Page { learners, next_after }))
}
