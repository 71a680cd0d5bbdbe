//! The supervisor: gives every learner with something to do its turns on the training pool.

use std::sync::Arc;

use super::learner::{LearnerDocument, LearnerRecord};
use super::status::TrainerStatus;
use super::store::{CreateError, Store};
use crate::config::TrainingConfig;
use crate::metrics::TrainingMetrics;
use crate::registry::VersionId;
use crate::stream::LearnerId;

/// Called after a commit that moved `live`.
pub type LiveMoved = Arc<dyn Fn(LearnerId, VersionId) + Send + Sync>;

/// Why training cannot be started or a learner not created.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The store refused the learner.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::stream::StoreError),
    /// The network cannot be built from the document.
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] crate::compute::device::DeviceError),
    /// The pool cannot be started.
    #[error(transparent)]
    Pool(#[from] crate::compute::pool::PoolError),
    /// Anything else that went wrong inside.
    #[error("{0}")]
    Failed(String),
}

/// The trainers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {}

impl Supervisor {
    /// Starts the training threads and takes up every learner of the store.
    pub async fn start(
        store: Arc<dyn Store>,
        config: &TrainingConfig,
        metrics: TrainingMetrics,
        live_moved: LiveMoved,
    ) -> Result<Self, SupervisorError> {
        let _ = (store, config, metrics, live_moved);
        unimplemented!("helper E")
    }

    /// Builds the first network, stores the learner with version 1 and takes it up. Computes off the async runtime.
    pub async fn create(&self, document: LearnerDocument) -> Result<LearnerRecord, SupervisorError> {
        let _ = document;
        unimplemented!("helper E")
    }

    /// There may be something to do: new rows, an order, changed settings.
    pub fn notify(&self, learner: LearnerId) {
        let _ = learner;
        unimplemented!("helper E")
    }

    /// Ends a learner's trainer at its next step boundary and forgets it; returns when no step of it runs any more.
    pub async fn remove(&self, learner: LearnerId) {
        let _ = learner;
        unimplemented!("helper E")
    }

    /// A snapshot of a trainer; `None` for unknown learners.
    pub fn status(&self, learner: LearnerId) -> Option<Arc<TrainerStatus>> {
        let _ = learner;
        unimplemented!("helper E")
    }

    /// Ends all turns at the next step boundary, writes checkpoints, gives leases back.
    pub async fn stop(&self) {
        unimplemented!("helper E")
    }
}
