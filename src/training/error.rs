//! What stops a trainer's turn.
//!
//! Nothing of a turn that failed is kept: the trainer is dropped and taken up again from its checkpoint. Used within
//! `training` only; the supervisor logs it and tries again.

use super::step::StepError;
use crate::compute::optimizer::OptimizerError;
use crate::growth::GrowthError;
use crate::network::NetworkError;
use crate::stream::StoreError;

/// Why a turn could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The store failed, or the lease is another trainer's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A growth failed.
    #[error(transparent)]
    Growth(#[from] GrowthError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The optimizer's state cannot be read or written.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// What the store holds of the learner does not fit together.
    #[error("the learner's stored state is damaged: {0}")]
    Damaged(String),
    /// Another process trains this learner.
    #[error("another process holds the lease")]
    Leased,
    /// The learner was deleted.
    #[error("the learner is gone")]
    Gone,
    /// A computation panicked.
    #[error("a computation panicked: {0}")]
    Panicked(String),
}

impl TrainingError {
    /// What kind of failure it is, for everybody who sees the learner; the words are for the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Network(_) => "network",
            Self::Growth(_) => "growth",
            Self::Step(_) => "step",
            Self::Optimizer(_) => "optimizer",
            Self::Tensor(_) => "tensor",
            Self::Damaged(_) => "damaged",
            Self::Leased => "leased",
            Self::Gone => "gone",
            Self::Panicked(_) => "panicked",
        }
    }

    /// Whether another trainer has, or may have, the learner: no fault, only a reason to wait.
    pub fn is_lease(&self) -> bool {
        matches!(self, Self::Leased | Self::Store(StoreError::LeaseLost))
    }
}
