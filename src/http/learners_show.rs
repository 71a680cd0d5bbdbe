//! `GET /v1/learners/{learner}`: everything that is known of a learner.

use axum::Json;
use axum::extract::State;

use super::learner_view::LearnerView;
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;

/// The learner.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<LearnerView>, Problem> {
    query.only(&[])?;
    let record = path.learner(&state).await?;
    Ok(Json(LearnerView::of(&state, record).await?))
}
