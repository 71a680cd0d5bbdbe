//! The loader: from a version in the store to a model that has answered once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Device;

use super::model::{LoadedModel, ModelError};
use super::predictor::PredictError;
use crate::network::{NetworkError, weights};
use crate::registry::{RegistryStore, Version, VersionId};
use crate::stream::{LearnerId, StoreError};

/// Loads a version: its row, its weights (whose digest the store verifies), and a first answer to a row of zeros.
///
/// # Errors
/// [`PredictError::UnknownVersion`], [`PredictError::WeightsGone`], [`PredictError::Damaged`] when row, weights or first
/// answer are no good, [`PredictError::Store`].
pub async fn load(
    store: &dyn RegistryStore,
    learner: LearnerId,
    version: VersionId,
) -> Result<Arc<LoadedModel>, PredictError> {
    let damaged = |reason: &dyn std::fmt::Display| {
        tracing::error!(learner = learner.0, version = version.0, %reason, "a version is damaged");
        PredictError::Damaged(version)
    };
    let row = match store.version(learner, version).await {
        Ok(Some(row)) => row,
        Ok(None) => return Err(PredictError::UnknownVersion(version)),
        Err(error @ StoreError::Damaged(_)) => return Err(damaged(&error)),
        Err(error) => return Err(error.into()),
    };
    if !row.weights_kept {
        return Err(PredictError::WeightsGone(version));
    }
    let bytes = match store.get_blob(row.digest).await {
        Ok(Some(bytes)) => bytes,
        // They may have been dropped between the two reads; otherwise they should be there.
        Ok(None) => {
            return match store.version(learner, version).await? {
                Some(now) if now.weights_kept => Err(damaged(&"its weights are not there")),
                Some(_) => Err(PredictError::WeightsGone(version)),
                None => Err(PredictError::UnknownVersion(version)),
            };
        }
        Err(error @ StoreError::Damaged(_)) => return Err(damaged(&error)),
        Err(error) => return Err(error.into()),
    };
    match tokio::task::spawn_blocking(move || build(row, &bytes)).await {
        Ok(Ok(model)) => Ok(Arc::new(model)),
        Ok(Err(error)) => Err(damaged(&error)),
        Err(panic) => Err(damaged(&panic)),
    }
}

/// Makes a model of a version and its weights file, and proves it by a first answer to a row of zeros.
///
/// # Errors
/// The weights are not those of the network, or the answer is not finite.
pub fn build(version: Version, bytes: &[u8]) -> Result<LoadedModel, ModelError> {
    let parameters = weights::from_bytes(bytes, &version.model.network, &Device::Cpu)?;
    let (found, expected) = (version.model.network.input().elements(), version.model.encoder.shape().elements());
    if found != expected {
        let reason = format!("the network takes {found} numbers a row, the encoder gives {expected}");
        return Err(NetworkError::Graph(reason).into());
    }
    let model = LoadedModel::new(version.version, version.model, &parameters)?;
    model.warm_up()?;
    Ok(model)
}

/// The versions that were asked for by number and are kept in memory, newest use last.
pub struct VersionCache {
    models: Mutex<VecDeque<(LearnerId, Arc<LoadedModel>)>>,
    limit: usize,
    /// Held while a version is loaded into the cache: one at a time, so that memory stays bounded and two requests for
    /// the same version load it once.
    pub loading: tokio::sync::Mutex<()>,
}

impl VersionCache {
    /// A cache for `limit` versions.
    pub fn new(limit: usize) -> Self {
        Self { models: Mutex::default(), limit, loading: tokio::sync::Mutex::new(()) }
    }

    /// A version, if it is here; it becomes the newest.
    pub fn get(&self, learner: LearnerId, version: VersionId) -> Option<Arc<LoadedModel>> {
        let mut models = self.models();
        let index = models.iter().position(|(whose, model)| *whose == learner && model.version == version)?;
        let entry = models.remove(index)?;
        let model = entry.1.clone();
        models.push_back(entry);
        Some(model)
    }

    /// Keeps a version; the one unused for longest goes if there are too many.
    pub fn insert(&self, learner: LearnerId, model: Arc<LoadedModel>) {
        let mut models = self.models();
        models.push_back((learner, model));
        while models.len() > self.limit {
            models.pop_front();
        }
    }

    /// Drops what is here of a learner.
    pub fn forget(&self, learner: LearnerId) {
        self.models().retain(|(whose, _)| *whose != learner);
    }

    fn models(&self) -> MutexGuard<'_, VecDeque<(LearnerId, Arc<LoadedModel>)>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
