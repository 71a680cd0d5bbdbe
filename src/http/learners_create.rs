//! `POST /v1/learners`: a learner from its document.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::document;
use super::learner_view::LearnerView;
use super::media_type;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::training::{LearnerDocument, creation};

/// Creates the learner with version 1 as `live`.
pub async fn handle(
    State(state): State<AppState>,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    media_type::require_json(&headers)?;
    // Checking builds the network: off the runtime.
    let document = unbroken(tokio::task::spawn_blocking(move || {
        let document: LearnerDocument = document::decode(&document::json(&body)?)?;
        document::refuse_faults(document.faults())?;
        Ok(document)
    }))
    .await?;
    // A client that goes away must not leave a learner that is stored and not served.
    unbroken(tokio::spawn(create(state, document))).await
}

async fn create(state: AppState, document: LearnerDocument) -> Result<Response, Problem> {
    let creating = state.directory.creating.clone();
    let _turn = creating.lock().await;
    let limit = state.config.limits.learners;
    if state.directory.get(&document.name).is_none() && state.directory.len() >= limit {
        return Err(Problem::new(Kind::TooManyLearners, format!("the server keeps at most {limit} learners")));
    }
    let record = creation::create(&state.store, document).await?;
    state.take_up(record.clone()).await;
    tracing::info!(learner = %record.document.name, "created a learner");
    let location = format!("/v1/learners/{}", record.document.name);
    let view = LearnerView::of(&state, record).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response())
}
