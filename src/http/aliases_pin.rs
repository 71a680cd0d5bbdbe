//! `POST /v1/learners/{learner}/aliases/{alias}/pin` and `…/unpin`: an alias stays where it is, or may move again.
//!
//! Unpinned, `live` follows the trainer again: it moves at once to the newest version that the trainer accepted meanwhile,
//! or, if there is none, stays until the trainer accepts the next.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::alias_change::{self, AliasFailure};
use super::alias_request::{self, ReasonDocument, Request};
use super::alias_view;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::registry::{Alias, AliasEdit, AliasError, AliasName};
use crate::training::LearnerRecord;

/// How often an alias is looked at again because the trainer accepted another version meanwhile.
const TRIES: usize = 8;

/// Pins the alias.
pub async fn pin(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let alias = path.alias()?;
    let ReasonDocument { reason } = alias_request::optional(&headers, &body)?;
    let order = Request::read(&state, &headers, reason)?.order(&alias, AliasEdit::Pin);
    let record = path.learner(&state).await?;
    let pinned =
        unbroken(tokio::spawn(async move { there(alias_change::make(&state, &record, &order).await?) })).await?;
    Ok(alias_view::answer(pinned))
}

/// Unpins the alias.
pub async fn unpin(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let alias = path.alias()?;
    let ReasonDocument { reason } = alias_request::optional(&headers, &body)?;
    let request = Request::read(&state, &headers, reason)?;
    let record = path.learner(&state).await?;
    let unpinned = unbroken(tokio::spawn(follow(state, record, alias, request))).await?;
    Ok(alias_view::answer(unpinned))
}

async fn follow(state: AppState, record: LearnerRecord, alias: AliasName, request: Request) -> Result<Alias, Problem> {
    for _ in 0..TRIES {
        let now = state.store.alias_state(record.id, &alias).await?.ok_or_else(Problem::alias_not_found)?;
        let order = request.order(&alias, AliasEdit::Unpin { follow: now.waiting });
        match alias_change::make(&state, &record, &order).await {
            Err(AliasFailure::Alias(AliasError::Waits(_))) => {}
            outcome => return there(outcome?),
        }
    }
    Err(Problem::new(Kind::Conflict, "the trainer accepted one version after the other; nothing was changed by this"))
}

fn there(alias: Option<Alias>) -> Result<Alias, Problem> {
    alias.ok_or_else(|| Problem::internal(&"an alias was changed and is not there"))
}
