//! A learner's life lived again: the proof that a model is what its stream and its decisions make it.
//!
//! The journal's inputs are done once more, in their order and without a disturbance, by the trainer that serves, on a
//! scratch store; every result, version and checkpoint that follows must be the recorded one to the last bit. The recorded
//! store is only read. A learner that was trained on a GPU, or on a processor of another kind, may differ in rounding.
//! Called by `perennial replay` and the crash harness.

mod birth;
mod course;
mod difference;
mod recorded;
mod scratch;

use std::sync::Arc;

use tokio::runtime::Handle;

use super::creation::CreationError;
use super::environment::Environment;
use super::error::TrainingError;
use super::store::{CreateError, Store};
use crate::compute::pool::{Pool, PoolError};
use crate::config::TrainingConfig;
use crate::metrics::Metrics;
use crate::stream::{LearnerName, Seq, StoreError};
pub use difference::Difference;
use recorded::Recorded;

/// Why a life cannot be lived again.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// There is no such learner.
    #[error("there is no such learner")]
    UnknownLearner,
    /// What the record lacks.
    #[error("the life is not recorded whole: {0}")]
    Incomplete(String),
    /// The learner is trained while it is looked at.
    #[error("the learner's checkpoint is replaced faster than its journal can be read; try again when it rests")]
    Busy,
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The compute threads cannot be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The trainer could not go on.
    #[error("the life cannot be lived on: {0}")]
    Broken(String),
}

impl From<TrainingError> for LifeError {
    fn from(error: TrainingError) -> Self {
        match error {
            TrainingError::Store(error) => Self::Store(error),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<CreationError> for LifeError {
    fn from(error: CreationError) -> Self {
        match error {
            CreationError::Store(error) | CreationError::Create(CreateError::Store(error)) => Self::Store(error),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// How far a life has been lived again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lived {
    /// Inputs of the journal that are done.
    pub inputs: u64,
    /// Inputs to do.
    pub of: u64,
    /// The newest example that was learned.
    pub seq: Seq,
}

/// What was lived again, and where it first differs from what is recorded.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Whose life.
    pub learner: LearnerName,
    /// The place of the journal that the life was lived again up to: that of the checkpoint.
    pub position: u64,
    /// The first example that was deleted or replaced: the values that it was learned with are gone, so the life could be
    /// lived again only up to it.
    pub corrected: Option<Seq>,
    /// The newest example that was learned.
    pub trained_seq: Seq,
    /// Inputs that were done again.
    pub inputs: u64,
    /// Results of the journal that are the same.
    pub results: u64,
    /// Versions whose weights and documents are the same.
    pub versions: u64,
    /// Growths among the results.
    pub growths: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// The first difference; absent: there is none, and in a life that was lived again to its end the checkpoint's weights and
    /// optimizer state are the same too.
    pub difference: Option<Difference>,
}

/// The two stores, and who wants to know how far it is.
pub struct Again<'a> {
    /// Where the life is recorded; only read.
    pub source: Arc<dyn Store>,
    /// An empty store for the life lived again.
    pub scratch: Arc<dyn Store>,
    /// Called now and then.
    pub onlooker: &'a (dyn Fn(Lived) + Send + Sync),
}

/// Lives a learner's life again, up to its checkpoint, on the CPU with `threads` threads (0: one for every core).
///
/// # Errors
/// [`LifeError`]; that something differs is no error. Waits and computes on the calling task's thread: its runtime must have
/// more than one.
pub async fn live_again(again: Again<'_>, name: &LearnerName, threads: usize) -> Result<Report, LifeError> {
    let recorded = Recorded::read(&*again.source, name).await?;
    let config = TrainingConfig {
        threads,
        // What is lived again is committed where it must be, and no more often.
        checkpoint_ms: u64::MAX,
        lease_seconds: u64::from(u32::MAX),
        ..TrainingConfig::default()
    };
    let environment = Arc::new(Environment {
        store: again.scratch.clone(),
        runtime: Handle::current(),
        pool: Pool::start("replay", threads, config.nice)?,
        device: candle_core::Device::Cpu,
        metrics: Metrics::new().training,
        config,
        owner: "a life lived again".into(),
    });
    // The trainer waits for the store with the runtime's help, which only a thread that is not in its service may.
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let living = scope.spawn(|| course::live(&environment, &again, &recorded));
            living.join().unwrap_or_else(|_| Err(LifeError::Broken("it panicked".into())))
        })
    })
}
