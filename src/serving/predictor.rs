//! The handle through which the rest of the server predicts.

use std::sync::Arc;
use std::time::Instant;

use crate::config::ServingConfig;
use crate::metrics::ServingMetrics;
use crate::registry::{RegistryStore, VersionId};
use crate::stream::{LearnerId, LearnerName, Row, StoreError};

/// Which version answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    /// Whatever `live` names when the batch is taken.
    Live,
    /// This one.
    Version(VersionId),
}

/// The answer for one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// Probabilities in order of the version's classes.
    Classes(Vec<f32>),
    /// The value of a regression.
    Number(f64),
}

/// The answers for one request: all from one version.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which.
    pub version: VersionId,
    /// Its classes, in order of the probabilities; empty for regression.
    pub classes: Arc<[String]>,
    /// One for every row, in order.
    pub predictions: Vec<Prediction>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PredictError {
    /// The queue of rows is full. A 429.
    #[error("too many rows are waiting for a prediction")]
    QueueFull,
    /// The deadline passed in the queue. A 503.
    #[error("the prediction took longer than the deadline")]
    Deadline,
    /// No such version. A 404.
    #[error("the learner has no version {0}")]
    UnknownVersion(VersionId),
    /// The weights of this version were dropped. A 410.
    #[error("the weights of version {0} are no longer kept")]
    WeightsGone(VersionId),
    /// The version cannot be loaded: damaged.
    #[error("version {0} is damaged")]
    Damaged(VersionId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Predicts. Cheap to clone.
#[derive(Clone)]
pub struct Predictor {}

impl Predictor {
    /// Starts the batching threads.
    pub fn start(store: Arc<dyn RegistryStore>, config: &ServingConfig, metrics: ServingMetrics) -> Self {
        let _ = (store, config, metrics);
        unimplemented!("helper G")
    }

    /// Loads and warms what `live` names of a learner, then swaps it in. A failure leaves the previous one serving.
    pub async fn load_live(&self, learner: LearnerId, name: &LearnerName) -> Result<VersionId, PredictError> {
        let _ = (learner, name);
        unimplemented!("helper G")
    }

    /// `live` moved: load in the background and swap.
    pub fn live_moved(&self, learner: LearnerId, version: VersionId) {
        let _ = (learner, version);
        unimplemented!("helper G")
    }

    /// The version that answers now.
    pub fn serving(&self, learner: LearnerId) -> Option<VersionId> {
        let _ = learner;
        unimplemented!("helper G")
    }

    /// Forgets a deleted learner.
    pub fn forget(&self, learner: LearnerId) {
        let _ = learner;
        unimplemented!("helper G")
    }

    /// Predicts these rows.
    pub async fn predict(
        &self,
        learner: LearnerId,
        choice: VersionChoice,
        rows: Vec<Row>,
        deadline: Instant,
    ) -> Result<Answer, PredictError> {
        let _ = (learner, choice, rows, deadline);
        unimplemented!("helper G")
    }

    /// Answers what is queued and takes no more.
    pub async fn stop(&self) {
        unimplemented!("helper G")
    }
}
