//! `GET /v1/learners/{learner}/aliases`: the aliases in order of name.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::alias_view::AliasView;
use super::path::PathValues;
use super::problem::Problem;
use super::query::{self, Query};
use super::state::AppState;
use crate::registry::AliasName;

/// A page of aliases.
#[derive(Serialize)]
pub struct Page {
    aliases: Vec<AliasView>,
    next_after: Option<AliasName>,
}

/// The aliases after the name `after`, at most `limit`.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Json<Page>, Problem> {
    query.only(&["limit", "after"])?;
    let limit = query.limit()?;
    let after = match query.text("after") {
        None => None,
        Some(text) => {
            Some(AliasName::parse(text).ok_or_else(|| query::fault("after", "must be the name of an alias"))?)
        }
    };
    let learner = path.learner(&state).await?.id;
    let aliases = state.store.aliases(learner, after.as_ref(), limit).await?;
    let next_after = aliases.last().filter(|_| aliases.len() == limit).map(|alias| alias.name.clone());
    Ok(Json(Page { aliases: aliases.into_iter().map(AliasView::from).collect(), next_after }))
}
