//! `DELETE /v1/learners/{learner}`: a learner with all its examples and versions.

use axum::extract::State;
use axum::http::StatusCode;

use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::training::LearnerRecord;

/// Deletes the learner.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<StatusCode, Problem> {
    query.only(&[])?;
    let record = path.learner(&state).await?;
    unbroken(tokio::spawn(delete(state, record))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(state: AppState, record: LearnerRecord) -> Result<(), Problem> {
    // Nobody may be created under the name between the store's delete and the end of the rest.
    let creating = state.directory.creating.clone();
    let _turn = creating.lock().await;
    // The store goes first: from then on the trainer's writes meet a lease that is gone. Were it the other way round, a
    // delete that failed would leave a learner without a trainer.
    if !state.store.delete_learner(record.id).await? {
        return Err(Problem::learner_not_found());
    }
    state.forget(&record).await;
    tracing::info!(learner = %record.document.name, "deleted a learner");
    Ok(())
}
