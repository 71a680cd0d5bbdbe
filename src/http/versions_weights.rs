//! `GET /v1/learners/{learner}/versions/{version}/weights`: the weights file (safetensors).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::versions_show::find;

/// The file; its digest is its `ETag`.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let learner = path.known_learner(&state).await?;
    let version = find(&state, learner.id, &path).await?;
    let gone = || Problem::new(Kind::WeightsGone, "the weights of this version are no longer kept");
    if !version.weights_kept {
        return Err(gone());
    }
    let tag = format!("\"{}\"", version.digest.to_hex());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|entry| entry.trim() == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let bytes = state.store.get_blob(version.digest).await?.ok_or_else(gone)?;
    let file = format!("attachment; filename=\"{}-{}.safetensors\"", learner.document.name, version.version);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, file),
        (header::ETAG, tag),
    ];
    Ok((headers, bytes).into_response())
}
