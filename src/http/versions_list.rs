//! `GET /v1/learners/{learner}/versions`: the versions in order.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::learner_view::NetworkSummary;
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;
use super::version_view::VersionView;
use super::versions_show::every_alias;
use crate::registry::VersionId;

/// A page of versions.
#[derive(Serialize)]
pub struct Page {
    versions: Vec<VersionView<NetworkSummary>>,
    next_after: Option<VersionId>,
}

/// The versions after the number `after`, at most `limit`.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Json<Page>, Problem> {
    query.only(&["limit", "after"])?;
    let limit = query.limit()?;
    let after = VersionId(query.number("after")?.unwrap_or(0));
    let learner = path.known_learner(&state).await?.id;
    let aliases = every_alias(&state, learner).await?;
    let versions = state.store.versions(learner, after, limit).await?;
    let next_after = versions.last().filter(|_| versions.len() == limit).map(|version| version.version);
    let versions = versions.into_iter().map(|version| VersionView::brief(version, &aliases)).collect();
    Ok(Json(Page { versions, next_after }))
}
