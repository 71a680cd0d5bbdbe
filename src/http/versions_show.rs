//! `GET /v1/learners/{learner}/versions/{version}`: a version with its whole graph, and the growth that made it.

use axum::Json;
use axum::extract::State;

use super::growth_view::EventView;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::version_view::{NetworkGraph, VersionView};
use crate::registry::{Alias, Cause, Version, VersionId};
use crate::stream::LearnerId;
use crate::training::JournalEvent;

/// The version.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<VersionView<NetworkGraph>>, Problem> {
    query.only(&[])?;
    let learner = path.known_learner(&state).await?.id;
    let version = find(&state, learner, &path).await?;
    let aliases = every_alias(&state, learner).await?;
    let growth = growth(&state, learner, (version.version, &version.cause)).await?;
    Ok(Json(VersionView::full(version, &aliases, growth)))
}

/// The growth that made a version, if one did.
pub async fn growth(
    state: &AppState,
    learner: LearnerId,
    (version, cause): (VersionId, &Cause),
) -> Result<Option<EventView>, Problem> {
    if !matches!(cause, Cause::Growth { .. }) {
        return Ok(None);
    }
    let record = state.store.growth_of(learner, version).await?;
    Ok(record.and_then(|record| match record.event {
        JournalEvent::Grown(event) => Some(EventView::of(&event).in_journal(record.position, record.at)),
        _ => None,
    }))
}

/// Every alias of a learner: as many as the limits allow.
pub async fn every_alias(state: &AppState, learner: LearnerId) -> Result<Vec<Alias>, Problem> {
    Ok(state.store.aliases(learner, None, usize::MAX).await?)
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
