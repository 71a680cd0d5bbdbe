//! Pop-Art (van Hasselt et al. 2016): when the statistics of regression targets move, the last layer moves against them,
//! so that no answer changes.
//!
//! Called by the trainer whenever it takes new targets into the statistics, before the next step.

use crate::growth::State;
use crate::network::{Network, NetworkError};
use crate::stream::Targets;

/// Rescales the output layer's weight and bias and all moments from the statistics `before` to those `after`.
/// Nothing happens for classes, and while `before` has seen no target.
///
/// # Errors
/// The network's last node has no weight and bias.
pub fn rescale(network: &Network, state: &mut State, before: &Targets, after: &Targets) -> Result<(), NetworkError> {
    let _ = (network, state, before, after);
    unimplemented!("helper E1")
}
