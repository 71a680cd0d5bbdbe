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
use crate::stream::{Entry, Label, Schema, Seq, decode};

#[derive(Serialize)]
struct Page {
    examples: Vec<ExampleView>,
    next_after: Option<Seq>,
}

/// What stands at a place.
#[derive(Serialize)]
#[serde(untagged)]
enum ExampleView {
    Example {
        seq: Seq,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        inputs: Value,
        label: Label,
    },
    /// `deleted` is true.
    Tombstone { seq: Seq, deleted: bool },
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
    let next_after = stored.last().filter(|_| stored.len() == limit).map(Entry::seq);
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

fn views(schema: &Schema, stored: Vec<Entry>) -> Vec<ExampleView> {
    let view = |entry: Entry| match entry {
        Entry::Example(example) => ExampleView::Example {
            seq: example.seq,
            id: example.id,
            inputs: decode::inputs_to_json(schema, &example.row),
            label: example.label,
        },
        Entry::Deleted(seq) => ExampleView::Tombstone { seq, deleted: true },
    };
    stored.into_iter().map(view).collect()
}
