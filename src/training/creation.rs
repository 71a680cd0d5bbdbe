//! A learner's first version and checkpoint.
//!
//! The network is built and drawn off the async runtime; the blobs are in the store before the learner is.

use super::averages;
use super::checkpoint::Checkpoint;
use super::environment::Environment;
use super::learner::LearnerDocument;
use super::progress::Progress;
use super::step;
use super::store::{NewVersion, Store};
use super::supervisor::SupervisorError;
use crate::network::initialize::initialize;
use crate::network::weights;
use crate::registry::{Cause, Model, VersionId, VersionMetrics};
use crate::stream::Seq;

/// What a learner starts with.
pub(super) struct First {
    model: Model,
    weights: Vec<u8>,
    optimizer: Vec<u8>,
    progress: serde_json::Value,
}

/// Builds and draws the first network. Computes: not for a thread of the async runtime.
pub(super) fn first_state(environment: &Environment, document: &LearnerDocument) -> Result<First, SupervisorError> {
    let failed = |error: String| SupervisorError::Failed(error);
    let model = document.first_model()?;
    let drawn = environment.pool.run(|| {
        let parameters = initialize(&model.network, document.training.seed, &environment.device)?;
        let weights = weights::to_bytes(&parameters)?;
        let mut state = step::first_state(&model.network, parameters, &document.training.optimizer)
            .map_err(|error| failed(error.to_string()))?;
        averages::keep(&mut state, &document.training);
        let optimizer = state.optimizer.to_bytes().map_err(|error| failed(error.to_string()))?;
        Ok::<_, SupervisorError>((weights, optimizer))
    });
    let (weights, optimizer) = drawn.map_err(failed)??;
    let progress = serde_json::to_value(Progress::new(document)).map_err(|error| failed(error.to_string()))?;
    Ok(First { model, weights, optimizer, progress })
}

/// Stores the blobs; what `create_learner` takes.
pub(super) async fn put_blobs(store: &dyn Store, first: First) -> Result<(NewVersion, Checkpoint), SupervisorError> {
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
