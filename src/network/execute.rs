//! The two passes over a network: forward and then backward, with candle tensors as values, without candle's autograd.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::error::NetworkError;
use super::graph::Network;
use super::op::Mode;
use super::parameter::{ParameterId, Parameters};

/// A forward pass: its output, and in training what the backward pass needs.
pub struct Pass {
    /// The network's output, `[rows, …output shape]`.
    pub output: Tensor,
    /// New values of running statistics (training only), by parameter.
    pub statistics: BTreeMap<ParameterId, Tensor>,
}

/// The forward pass of a batch `[rows, …input shape]` for evaluation: nothing is kept.
pub fn evaluate(network: &Network, parameters: &Parameters, batch: &Tensor) -> Result<Tensor, NetworkError> {
    Ok(forward(network, parameters, batch, Mode::Evaluate)?.output)
}

/// The forward pass of a batch, keeping what [`backward`] needs if `mode` is training.
pub fn forward(network: &Network, parameters: &Parameters, batch: &Tensor, mode: Mode) -> Result<Pass, NetworkError> {
    let _ = (network, parameters, batch, mode);
    unimplemented!("helper A1")
}

/// The backward pass: the gradient of every trained parameter, given the gradient of the loss by the output.
pub fn backward(
    network: &Network,
    parameters: &Parameters,
    pass: Pass,
    gradient: &Tensor,
) -> Result<BTreeMap<ParameterId, Tensor>, NetworkError> {
    let _ = (network, parameters, pass, gradient);
    unimplemented!("helper A1")
}
