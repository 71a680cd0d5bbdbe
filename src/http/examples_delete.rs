//! `DELETE /v1/learners/{learner}/examples/{id}`, or `…/examples?seq=`: one example becomes a tombstone.
//!
//! When the answer is there, its values and its label are gone from the database, durably; its place and its id stay taken.
//! What the trainer holds of it goes at its next look at the stream. Deleting again changes nothing and answers the same.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::{self, Query};
use super::state::AppState;
use super::unbroken::unbroken;
use crate::stream::{Deletion, ExampleName, Seq};

/// The tombstone, as the stream shows it.
#[derive(Serialize)]
pub struct TombstoneView {
    seq: Seq,
    deleted: bool,
}

/// Deletes the example that the path names by its id.
pub async fn by_id(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<TombstoneView>, Problem> {
    query.only(&[])?;
    let id = path.value("id").ok_or_else(not_found)?.to_owned();
    delete(state, path, ExampleName::Id(id)).await
}

/// Deletes the example at the place `seq`: the only way for one without an id.
pub async fn by_seq(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
) -> Result<Json<TombstoneView>, Problem> {
    query.only(&["seq"])?;
    let seq = query.number("seq")?.ok_or_else(|| query::fault("seq", "is missing: which example is to be deleted?"))?;
    delete(state, path, ExampleName::Seq(Seq(seq))).await
}

async fn delete(state: AppState, path: PathValues, example: ExampleName) -> Result<Json<TombstoneView>, Problem> {
    let learner = path.known_learner(&state).await?;
    // It is deleted, and whoever trains is told by the store, also when the client goes away meanwhile.
    unbroken(tokio::spawn(async move {
        let seq = match state.store.delete_example(learner.id, &example).await? {
            Deletion::Deleted(seq) => {
                tracing::info!(learner = %learner.document.name, %seq, "deleted an example");
                seq
            }
            Deletion::Before(seq) => seq,
            Deletion::Unknown => return Err(not_found()),
        };
        Ok(Json(TombstoneView { seq, deleted: true }))
    }))
    .await
}

fn not_found() -> Problem {
    Problem::new(Kind::ExampleNotFound, "the learner has no such example")
}
