//! `GET /v1/learners/{learner}/versions/{version}/lineage`: where a version comes from, parent by parent, and with every
//! growth on the way its plan and certificate.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::alias_view::{AliasMark, marks};
use super::growth_view::EventView;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::versions_show::{every_alias, growth};
use crate::registry::{Ancestor, VersionId};

/// A part of a lineage, newest first.
#[derive(Serialize)]
pub struct Lineage {
    version: VersionId,
    lineage: Vec<AncestorView>,
    next_after: Option<VersionId>,
}

#[derive(Serialize)]
struct AncestorView {
    #[serde(flatten)]
    ancestor: Ancestor,
    aliases: Vec<AliasMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<EventView>,
}

/// The version and those that it comes from, at most `limit`; with `after` those that this one comes from.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Json<Lineage>, Problem> {
    query.only(&["limit", "after"])?;
    let (limit, after) = (query.limit()?, query.number("after")?.map(VersionId));
    let version = VersionId(path.number("version", Kind::VersionNotFound)?);
    let learner = path.known_learner(&state).await?.id;
    // Whoever is named by `after` was the last of the page before.
    let mut chain = match after {
        None => state.store.lineage(learner, version, limit).await?,
        Some(after) => state.store.lineage(learner, after, limit + 1).await?,
    };
    if chain.is_empty() {
        return Err(Problem::new(Kind::VersionNotFound, "the learner has no version of this number"));
    }
    if after.is_some() {
        chain.remove(0);
    }
    let aliases = every_alias(&state, learner).await?;
    let next_after = chain.last().filter(|last| last.parent.is_some()).map(|last| last.version);
    let mut lineage = Vec::with_capacity(chain.len());
    for ancestor in chain {
        let growth = growth(&state, learner, (ancestor.version, &ancestor.cause)).await?;
        lineage.push(AncestorView { aliases: marks(&aliases, ancestor.version), growth, ancestor });
    }
    Ok(Json(Lineage { version, lineage, next_after }))
}
