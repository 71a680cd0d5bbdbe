//! A learner's birth: its first network drawn, its first version and checkpoint stored.
//!
//! The network is built and drawn off the async runtime; the blobs are in the store before the learner is. Weights are a
//! function of the document, whichever process draws them and whatever it trains on. Called by the edge of every process.

use std::sync::Arc;

use candle_core::Device;

use super::averages;
use super::checkpoint::Checkpoint;
use super::learner::{LearnerDocument, LearnerRecord};
use super::progress::Progress;
use super::step;
use super::store::{CreateError, NewVersion, Store};
use crate::network::initialize::initialize;
use crate::network::{NetworkError, weights};
use crate::registry::{Cause, Model, VersionId, VersionMetrics};
use crate::stream::{Seq, StoreError};

/// Why a learner was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreationError {
    /// The store refused the learner.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network cannot be built from the document.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Anything else that went wrong inside.
    #[error("{0}")]
    Failed(String),
}

/// What a learner starts with.
pub(super) struct First {
    model: Model,
    weights: Vec<u8>,
    optimizer: Vec<u8>,
    progress: serde_json::Value,
}

/// Builds the first network and stores the learner with version 1. Whoever trains takes it up.
pub async fn create(store: &Arc<dyn Store>, document: LearnerDocument) -> Result<LearnerRecord, CreationError> {
    let drawing = tokio::task::spawn_blocking(move || first_state(&document).map(|first| (document, first)));
    let (document, first) =
        drawing.await.map_err(|error| CreationError::Failed(format!("the first network: {error}")))??;
    let (version, checkpoint) = put_blobs(&**store, first).await?;
    Ok(store.create_learner(&document, version, checkpoint).await?)
}

/// Builds and draws the first network. Computes: not for a thread of the async runtime.
pub(super) fn first_state(document: &LearnerDocument) -> Result<First, CreationError> {
    let failed = |error: String| CreationError::Failed(error);
    let model = document.first_model()?;
    let parameters = initialize(&model.network, document.training.seed, &Device::Cpu)?;
    let weights = weights::to_bytes(&parameters)?;
    let mut state = step::first_state(&model.network, parameters, &document.training.optimizer)
        .map_err(|error| failed(error.to_string()))?;
    averages::keep(&mut state, &document.training);
    let optimizer = state.optimizer.to_bytes().map_err(|error| failed(error.to_string()))?;
    let progress = serde_json::to_value(Progress::new(document)).map_err(|error| failed(error.to_string()))?;
    Ok(First { model, weights, optimizer, progress })
}

/// Stores the blobs; what `create_learner` takes.
pub(super) async fn put_blobs(store: &dyn Store, first: First) -> Result<(NewVersion, Checkpoint), CreationError> {
    let digest = store.put_blob(&first.weights).await?;
    let optimizer = store.put_blob(&first.optimizer).await?;
    let version = NewVersion {
        version: VersionId(1),
        parent: None,
        cause: Cause::Created,
        trained_seq: Seq(0),
        model: first.model.clone(),
        metrics: VersionMetrics::default(),
        digest,
    };
    let checkpoint = Checkpoint {
        position: 0,
        trained_seq: Seq(0),
        last_version: VersionId(1),
        accepted: VersionId(1),
        model: first.model,
        weights: digest,
        optimizer,
        progress: first.progress,
    };
    Ok((version, checkpoint))
}
