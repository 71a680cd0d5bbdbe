//! `GET /v1/learners/{learner}/versions/{version}`: a version with its whole graph.

use axum::Json;
use axum::extract::State;

use super::learner_view::LIVE;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::version_view::{NetworkGraph, VersionView};
use crate::registry::{Version, VersionId};
use crate::stream::LearnerId;

/// The version.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<VersionView<NetworkGraph>>, Problem> {
    query.only(&[])?;
    let learner = path.known_learner(&state).await?.id;
    let version = find(&state, learner, &path).await?;
    let live = state.store.alias(learner, LIVE).await?;
    Ok(Json(VersionView::full(version, live)))
}

/// The version that the path names.
pub async fn find(state: &AppState, learner: LearnerId, path: &PathValues) -> Result<Version, Problem> {
    let number = path.number("version", Kind::VersionNotFound)?;
    let missing = || Problem::new(Kind::VersionNotFound, "the learner has no version of this number");
    if i64::try_from(number).is_err() {
        return Err(missing());
    }
    state.store.version(learner, VersionId(number)).await?.ok_or_else(missing)
}
