//! Rows of a body, decoded by the learner's newest schema.
//!
//! The schema in memory decodes without a database, and it is right for every row but one: a row with a feature that growth
//! has added since. Such a row, and no other, has the store asked. So from the commit of a growth on its features are
//! accepted by every process, whoever was told of it. Called by the actions that read rows.

use std::sync::Arc;

use super::problem::Problem;
use super::state::AppState;
use super::unbroken::off_runtime;
use crate::stream::decode::DecodeError;
use crate::training::LearnerRecord;

/// Decodes a body of `bytes` bytes, off the runtime if it is large.
///
/// # Errors
/// The outer one is a problem of the server, the inner one is what is wrong with the body.
pub async fn decoded<T, D>(
    state: &AppState,
    learner: &Arc<LearnerRecord>,
    bytes: usize,
    decode: D,
) -> Result<Result<T, DecodeError>, Problem>
where
    T: Send + 'static,
    D: Fn(&LearnerRecord) -> Result<T, DecodeError> + Clone + Send + 'static,
{
    let by = |learner: Arc<LearnerRecord>| {
        let decode = decode.clone();
        off_runtime(bytes, move || Ok(decode(&learner)))
    };
    let outcome = by(learner.clone()).await?;
    if outcome.as_ref().is_err_and(DecodeError::names_an_unknown_feature)
        && let Some(newer) = newer(state, learner).await
    {
        return by(newer).await;
    }
    Ok(outcome)
}

/// The learner with its newer schema, if the store has one; it is known from then on.
pub(super) async fn newer(state: &AppState, learner: &LearnerRecord) -> Option<Arc<LearnerRecord>> {
    let record = match state.store.learner_by_id(learner.id).await {
        Ok(record) => record?,
        Err(error) => {
            // The fault of the body stands, as far as anybody can tell.
            tracing::warn!(learner = %learner.document.name, %error, "the newest schema cannot be read");
            return None;
        }
    };
    let is_newer = record.document.schema.features.len() > learner.document.schema.features.len();
    is_newer.then(|| {
        state.directory.renew(record.clone());
        Arc::new(record)
    })
}
