//! `PUT /v1/learners/{learner}/aliases/{alias}`: an alias names another version.
//!
//! With `If-Match` only in the generation that the client has seen, with `If-None-Match: *` only if it is new.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::alias_request::Request;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use super::{alias_change, alias_view, document, media_type};
use crate::registry::{AliasEdit, AliasName, Pinning, VersionId};
use crate::training::LearnerRecord;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDocument {
    /// A number, or an alias: what it names now.
    version: Value,
    #[serde(default)]
    pin: Option<bool>,
    #[serde(default)]
    reason: Option<String>,
}

/// Moves the alias, or makes it.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    media_type::require_json(&headers)?;
    let alias = path.alias().map_err(|_| {
        let detail = "an alias's name has 1 to 64 lower-case letters, digits, `-` and `_`, and not digits alone";
        Problem::new(Kind::InvalidAlias, detail)
    })?;
    let set: SetDocument = document::decode(&document::json(&body)?)?;
    let request = Request::read(&state, &headers, set.reason)?;
    let record = path.learner(&state).await?;
    let to = version(&state, &record, &set.version).await?;
    let pinning = match set.pin {
        None => Pinning::Usual,
        Some(true) => Pinning::Pin,
        Some(false) => Pinning::Release,
    };
    let order = request.order(&alias, AliasEdit::Move { to, pinning });
    let changed = unbroken(tokio::spawn(async move {
        let changed = alias_change::make(&state, &record, &order).await?;
        changed.ok_or_else(|| Problem::internal(&"an alias was moved and is not there"))
    }))
    .await?;
    let status = if changed.generation == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, alias_view::answer(changed)).into_response())
}

/// The version that a document names.
async fn version(state: &AppState, record: &LearnerRecord, named: &Value) -> Result<VersionId, Problem> {
    let fault = || {
        Problem::new(Kind::InvalidDocument, "the document is at fault; nothing was changed")
            .at("/version", "must be a version's number or an alias")
    };
    match named {
        Value::Number(number) => number.as_u64().map(VersionId).ok_or_else(fault),
        Value::String(text) => {
            let alias = AliasName::parse(text).ok_or_else(fault)?;
            state.store.alias(record.id, alias.as_str()).await?.ok_or_else(Problem::alias_not_found)
        }
        _ => Err(fault()),
    }
}
