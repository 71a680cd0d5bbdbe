//! Applying a plan to weights and training state.

use crate::compute::optimizer::{Optimizer, OptimizerState};
use crate::network::{Network, NetworkError, Parameters};

use super::plan::Plan;

/// Weights with the training state that belongs to them.
#[derive(Debug, Clone)]
pub struct State {
    /// Trained parameters and statistics.
    pub parameters: Parameters,
    /// Moments and births.
    pub optimizer: OptimizerState,
}

/// A plan that could not be applied: it is not of this network, or the tensor library failed.
#[derive(Debug, thiserror::Error)]
pub enum GrowthError {
    /// The plan was made for another network.
    #[error("the plan does not fit the network: {0}")]
    Mismatch(String),
    /// The network could not be evaluated.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The student's weights and training state. `teacher` is the network that the plan was made for.
pub fn apply(plan: &Plan, teacher: &Network, state: &State, optimizer: &Optimizer) -> Result<State, GrowthError> {
    let _ = (plan, teacher, state, optimizer);
    unimplemented!("helper B")
}
