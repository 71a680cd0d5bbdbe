//! What can be wrong with a network or its evaluation.

use super::graph::NodeId;

/// Why a network cannot be built, loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A node's inputs do not fit its op.
    #[error("node {node}: {reason}")]
    Node { node: NodeId, reason: String },
    /// The graph as a whole is malformed: a repeated id, a cycle, a missing input or output.
    #[error("{0}")]
    Graph(String),
    /// The network or its cost is beyond the limit that is set for it.
    #[error("{what} is {value}, more than the limit of {limit}")]
    TooLarge { what: &'static str, value: u64, limit: u64 },
    /// A batch, its labels or its gradient do not fit the network.
    #[error("{0}")]
    Batch(String),
    /// Parameters that are not those of the network.
    #[error("{0}")]
    Parameters(String),
    /// The stored form cannot be read.
    #[error("weights file: {0}")]
    Weights(String),
    /// The tensor library failed: a shape that does not fit, or the device.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
