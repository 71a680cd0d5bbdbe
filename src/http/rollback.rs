//! `POST /v1/learners/{learner}/rollback`: `live` goes back to a version that served before, and stays there.
//!
//! Without `to` it is the newest older version that `live` has named and that can be loaded, so one rollback after the
//! other leads further back and never forward. It is pinned, or the trainer's next version would undo it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::alias_change::{self, AliasFailure};
use super::alias_request::{self, Request};
use super::alias_view::{self, AliasView};
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::registry::{Alias, AliasEdit, AliasError, AliasName, Pinning, VersionId};
use crate::serving::PredictError;
use crate::training::LearnerRecord;

/// How often a rollback begins again because `live` moved meanwhile.
const TRIES: usize = 8;

/// Older versions that are tried where nobody says which.
const CANDIDATES: usize = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackDocument {
    #[serde(default)]
    to: Option<u64>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Serialize)]
struct RolledBack {
    from: VersionId,
    #[serde(flatten)]
    alias: AliasView,
}

/// Rolls back.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let document: RollbackDocument = alias_request::optional(&headers, &body)?;
    let request = Request::read(&state, &headers, document.reason)?;
    let record = path.learner(&state).await?;
    let to = document.to.map(VersionId);
    let (from, alias) = unbroken(tokio::spawn(roll_back(state, record, to, request))).await?;
    let tag = alias_view::tag(&alias);
    Ok(([(header::ETAG, tag)], Json(RolledBack { from, alias: alias.into() })).into_response())
}

async fn roll_back(
    state: AppState,
    record: LearnerRecord,
    to: Option<VersionId>,
    request: Request,
) -> Result<(VersionId, Alias), Problem> {
    let live = AliasName::live();
    for _ in 0..TRIES {
        let now = state.store.alias_state(record.id, &live).await?.ok_or_else(Problem::alias_not_found)?;
        let to = match to {
            Some(to) if to >= now.version => {
                return Err(Problem::new(Kind::InvalidDocument, "the document is at fault; nothing was changed")
                    .at("/to", "must be an older version than the live one; a PUT of the alias moves it anywhere"));
            }
            Some(to) => to,
            None => newest_before(&state, &record, &live, now.version).await?,
        };
        // What was chosen was chosen for this generation of `live`.
        let request = if request.is_conditional() { request.clone() } else { request.at(now.generation) };
        let order = request.order(&live, AliasEdit::Move { to, pinning: Pinning::Pin });
        match alias_change::make(&state, &record, &order).await {
            Ok(Some(alias)) => return Ok((now.version, alias)),
            Ok(None) => return Err(Problem::internal(&"`live` was moved and is not there")),
            Err(AliasFailure::Alias(AliasError::Changed(at))) if at != Some(now.generation) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Problem::new(Kind::Conflict, "`live` moved again and again; nothing was changed by this"))
}

/// The newest version before this one that `live` has named and that can be loaded.
async fn newest_before(
    state: &AppState,
    record: &LearnerRecord,
    live: &AliasName,
    version: VersionId,
) -> Result<VersionId, Problem> {
    for candidate in state.store.alias_targets(record.id, live, version, CANDIDATES).await? {
        match alias_change::prepare(state, record, candidate).await {
            Ok(()) => return Ok(candidate),
            Err(AliasFailure::Load(PredictError::Damaged(_) | PredictError::WeightsGone(_))) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    let detail = "no older version that was live can be loaded; say with `to` which version it is to be";
    Err(Problem::new(Kind::NothingToRollBackTo, detail))
}
