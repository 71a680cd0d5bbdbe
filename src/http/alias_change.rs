//! Carrying out a change of an alias: it moves only to a version that this server has loaded, verified and warmed.
//!
//! Whoever gets the answer may predict by the alias as it is then: the predictor has swapped before the answer goes out.
//! Called on a task of its own, so that a client that goes away leaves nothing half done.

use super::problem::{Kind, Problem};
use super::state::AppState;
use crate::registry::alias::decide;
use crate::registry::{Alias, AliasEdit, AliasError, AliasOrder, VersionId};
use crate::serving::PredictError;
use crate::training::LearnerRecord;

/// Makes the change; what the alias is afterwards.
pub async fn make(state: &AppState, record: &LearnerRecord, order: &AliasOrder) -> Result<Option<Alias>, AliasFailure> {
    // What is refused anyway is refused before a version is loaded for it; the store looks again.
    let now = state.store.alias_state(record.id, &order.alias).await?;
    decide(now.as_ref(), order)?;
    match order.edit {
        AliasEdit::Move { to, .. } | AliasEdit::Unpin { follow: Some(to) } => prepare(state, record, to).await?,
        AliasEdit::Unpin { follow: None } | AliasEdit::Pin | AliasEdit::Delete => {}
    }
    let changed = state.store.change_alias(record.id, order).await?;
    state.predictor.aliases_changed(record.id);
    if order.alias.is_live()
        && let Err(error) = state.predictor.load_live(record.id, &record.document.name).await
    {
        // The move stands, and another process may serve it; here the version before it goes on serving.
        tracing::warn!(learner = %record.document.name, %error, "`live` was changed and cannot be served here");
    }
    tracing::info!(
        learner = %record.document.name,
        alias = %order.alias,
        version = changed.as_ref().map(|alias| alias.version.0),
        pinned = changed.as_ref().is_some_and(|alias| alias.pinned),
        "alias changed"
    );
    Ok(changed)
}

/// Loads, verifies and warms a version.
pub async fn prepare(state: &AppState, record: &LearnerRecord, version: VersionId) -> Result<(), AliasFailure> {
    state.predictor.prepare(record.id, version).await.map_err(AliasFailure::Load)
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum AliasFailure {
    /// The store refused it.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// The version cannot be loaded.
    #[error(transparent)]
    Load(PredictError),
}

impl From<crate::stream::StoreError> for AliasFailure {
    fn from(error: crate::stream::StoreError) -> Self {
        Self::Alias(error.into())
    }
}

impl From<AliasFailure> for Problem {
    fn from(failure: AliasFailure) -> Self {
        match failure {
            AliasFailure::Alias(error) => error.into(),
            AliasFailure::Load(PredictError::WeightsGone(version)) => AliasError::WeightsGone(version).into(),
            AliasFailure::Load(error @ (PredictError::Damaged(_) | PredictError::Failed(_))) => {
                Self::new(Kind::VersionNotLoadable, format!("{error}: an alias moves only to a version that answers"))
            }
            AliasFailure::Load(error) => error.into(),
        }
    }
}
