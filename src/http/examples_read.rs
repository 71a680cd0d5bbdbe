//! `GET /v1/learners/{learner}/examples`: the stream read back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::media_type;
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::stream::{Label, Schema, Seq, StoredExample, decode};

#[derive(Serialize)]
struct Page {
    examples: Vec<ExampleView>,
    next_after: Option<Seq>,
}

#[derive(Serialize)]
struct ExampleView {
    seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    inputs: Value,
    label: Label,
}

/// The examples after the place `after`, at most `limit`; one a line if `Accept` asks for it.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.only(&["limit", "after"])?;
    let limit = query.limit()?;
    let after = Seq(query.number("after")?.unwrap_or(0));
    let lines = media_type::accepts_ndjson(&headers);
    let learner = path.known_learner(&state).await?;
    let stored = state.store.read(learner.id, after, limit).await?;
    // Read after the rows: it has every feature that one of them has.
    let learner = state.store.learner_by_id(learner.id).await?.ok_or_else(Problem::learner_not_found)?;
    let next_after = stored.last().filter(|_| stored.len() == limit).map(|example| example.seq);
    unbroken(tokio::task::spawn_blocking(move || {
        let examples = views(&learner.document.schema, stored);
        if !lines {
            return Ok(Json(Page { examples, next_after }).into_response());
        }
        let mut body = Vec::new();
        for example in &examples {
            serde_json::to_writer(&mut body, example).map_err(|error| Problem::internal(&error))?;
            body.push(b'\n');
        }
        Ok(([(header::CONTENT_TYPE, media_type::NDJSON)], body).into_response())
    }))
    .await
}

fn views(schema: &Schema, stored: Vec<StoredExample>) -> Vec<ExampleView> {
    let view = |example: StoredExample| ExampleView {
        seq: example.seq,
        id: example.id,
        inputs: decode::inputs_to_json(schema, &example.row),
        label: example.label,
    };
    stored.into_iter().map(view).collect()
}
