//! The reference evaluator: f64, plain loops, sums in index order.
//!
//! Slow and obvious on purpose: growth certificates, op tests and gradient checks are decided by it.

use std::collections::BTreeMap;

use super::error::NetworkError;
use super::graph::Network;
use super::op::{Mode, ReferenceBatch};
use super::parameter::{ParameterId, Parameters};

/// The parameters of a network in f64, row-major.
pub type ReferenceParameters = BTreeMap<ParameterId, Vec<f64>>;

/// The parameters in f64.
pub fn widen(parameters: &Parameters) -> Result<ReferenceParameters, NetworkError> {
    let _ = parameters;
    unimplemented!("helper A1")
}

/// The network's output for a batch of inputs.
pub fn evaluate(
    network: &Network,
    parameters: &ReferenceParameters,
    batch: &ReferenceBatch,
    mode: Mode,
) -> Result<ReferenceBatch, NetworkError> {
    let _ = (network, parameters, batch, mode);
    unimplemented!("helper A1")
}
