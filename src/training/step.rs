//! One optimizer step: forward, loss, backward, update; all of it or nothing.
//!
//! Invariant: a non-finite loss, gradient or weight never enters the state. Called by the trainer on its pool.

use candle_core::Tensor;

use super::encoded::EncodedRows;
use crate::compute::optimizer::Optimizer;
use crate::growth::State;
use crate::network::{Network, NetworkError};
use crate::stream::Targets;

/// What a batch is trained towards.
#[derive(Debug, Clone, PartialEq)]
pub enum StepTargets {
    /// Class indices.
    Classes(Vec<u32>),
    /// Standardised regression targets.
    Numbers(Vec<f32>),
}

/// A batch, ready for a step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[rows, …input shape]`.
    pub inputs: Tensor,
    /// As many targets.
    pub targets: StepTargets,
}

/// How a step is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRule {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The step size of this step ([`super::rates::Rates::learning_rate`]).
    pub learning_rate: f64,
    /// The learner's seed, for dropout.
    pub seed: u64,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// It was done.
    Done {
        /// Mean loss of the batch, before the update.
        loss: f64,
    },
    /// Something was not finite; the state is what it was.
    NonFinite {
        /// `loss`, or the gradient or parameter by name.
        what: String,
    },
}

/// A step that could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A row's class is none of the model's; the trainer adopts classes before it learns from them.
    #[error("a row's class is none of the model's")]
    UnknownClass,
    /// The optimizer state has no moments for a parameter: it is not of this network.
    #[error("the optimizer state has nothing for `{0}`")]
    MissingMoments(String),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Batch {
    /// All of these rows as one batch on a device, regression targets standardised by `targets`.
    pub fn of(rows: &EncodedRows, targets: &Targets, device: &candle_core::Device) -> Result<Self, StepError> {
        let _ = (rows, targets, device);
        unimplemented!("helper E1")
    }
}

/// Does step number `state.optimizer.step + 1` and raises the count; a non-finite step changes nothing, not even it.
pub fn step(network: &Network, state: &mut State, batch: &Batch, rule: &StepRule) -> Result<StepOutcome, StepError> {
    let _ = (network, state, batch, rule);
    unimplemented!("helper E1")
}

/// The training state of newly initialised parameters: empty moments for each trained one, all born at step 0.
pub fn first_state(
    network: &Network,
    parameters: crate::network::Parameters,
    optimizer: &Optimizer,
) -> Result<State, StepError> {
    let _ = (network, parameters, optimizer);
    unimplemented!("helper E1")
}
