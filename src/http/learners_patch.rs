//! `PATCH /v1/learners/{learner}`: other settings of training and policy.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;

use super::document;
use super::learner_view::LearnerView;
use super::media_type;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::training::LearnerRecord;
use crate::training::patch::LearnerPatch;

/// How often a change is tried again because another one came first.
const TRIES: usize = 8;

/// Changes the settings; the trainer takes them at its next step boundary.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<LearnerView>, Problem> {
    query.only(&[])?;
    media_type::require_json(&headers)?;
    let patch: LearnerPatch = document::decode(&document::json(&body)?)?;
    let record = path.learner(&state).await?;
    let record = unbroken(tokio::spawn(change(state.clone(), record, patch))).await?;
    Ok(Json(LearnerView::of(&state, record).await?))
}

async fn change(state: AppState, mut record: LearnerRecord, patch: LearnerPatch) -> Result<LearnerRecord, Problem> {
    for _ in 0..TRIES {
        let (old, patch) = (record.document.clone(), patch.clone());
        let patched = unbroken(tokio::task::spawn_blocking(move || Ok(old.apply_patch(&patch)))).await?;
        let document = match patched {
            Ok(document) => document,
            Err(faults) => {
                document::refuse_faults(faults)?;
                return Err(Problem::internal(&"a patch was refused without a fault"));
            }
        };
        if let Some(changed) = state.store.update_learner(record.id, record.revision, &document).await? {
            state.directory.renew(changed.clone());
            return Ok(changed);
        }
        record = state.store.learner_by_id(record.id).await?.ok_or_else(Problem::learner_not_found)?;
    }
    Err(Problem::new(Kind::Conflict, "the learner was changed by others again and again; nothing was changed by this"))
}
