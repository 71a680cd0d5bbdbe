//! Range analysis: which tensors of a network hold no negative number, whatever comes in.
//!
//! A forward pass over what the ops declare, as an identity layer needs it: ReLU leaves such values alone.

use crate::network::{Network, NodeId};

/// The nodes whose outputs are never negative, by position.
pub(super) struct Nonnegative {
    proven: Vec<bool>,
}

impl Nonnegative {
    /// The pass.
    pub fn analyse(network: &Network) -> Self {
        let mut proven: Vec<bool> = Vec::with_capacity(network.nodes().len());
        for node in network.nodes() {
            let below = |id| network.position(id).is_some_and(|at| proven[at]);
            let kept = node.op.keeps_nonnegative() && node.inputs.iter().all(below);
            proven.push(node.op.output_is_nonnegative() || kept);
        }
        Self { proven }
    }

    /// Whether this node's output is proven to be non-negative.
    pub fn holds(&self, network: &Network, id: &NodeId) -> bool {
        network.position(id).is_some_and(|at| self.proven[at])
    }
}
