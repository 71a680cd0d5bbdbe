//! What every trainer of a process shares: store, compute pool, device, metrics.
//!
//! Trainers are plain threads: they wait for the store here and compute on the pool here, never on the async runtime.

use std::future::Future;
use std::sync::Arc;

use candle_core::Device;
use tokio::runtime::Handle;

use super::error::TrainingError;
use super::store::Store;
use crate::compute::pool::Pool;
use crate::config::TrainingConfig;
use crate::metrics::TrainingMetrics;
use crate::registry::Retention;
use crate::stream::cache::{self, StreamIdentity};
use crate::stream::{LearnerId, StoreError};

/// Shared by the trainers of a process.
pub(super) struct Environment {
    pub store: Arc<dyn Store>,
    pub runtime: Handle,
    pub pool: Pool,
    pub device: Device,
    pub metrics: TrainingMetrics,
    pub config: TrainingConfig,
    /// Names this process among the holders of leases.
    pub owner: String,
}

impl Environment {
    /// Waits for the store. Must not be called on a thread of the async runtime.
    pub fn wait<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, TrainingError> {
        Ok(self.runtime.block_on(answer)?)
    }

    /// Runs work on the pool and waits for it.
    pub fn compute<R: Send, E: Into<TrainingError> + Send>(
        &self,
        work: impl FnOnce() -> Result<R, E> + Send,
    ) -> Result<R, TrainingError> {
        self.pool.run(work).map_err(TrainingError::Panicked)?.map_err(Into::into)
    }

    /// Removes the files with rows of a learner that is gone.
    pub fn forget_cached(&self, learner: LearnerId) {
        if let Some(folder) = &self.config.cache_folder {
            cache::remove_learner(folder, learner);
        }
    }

    /// Removes the files with rows of learners that are none of these.
    pub fn sweep_cached(&self, known: &[StreamIdentity]) {
        if let Some(folder) = &self.config.cache_folder {
            cache::sweep(folder, known);
        }
    }

    /// Which versions keep their weights.
    pub fn retention(&self) -> Retention {
        let config = self.config.retention;
        Retention { newest: config.newest, per_doubling: config.per_doubling, alias_moves: config.alias_moves }
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> time::Duration {
        time::Duration::seconds(i64::try_from(self.config.lease_seconds).unwrap_or(i64::MAX))
    }
}
