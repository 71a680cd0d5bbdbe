//! Why a growth cannot be done, as data.

use serde::{Deserialize, Serialize};

use crate::network::NodeId;

/// Why a growth is refused. Nothing changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The request names a node that the network does not have.
    #[error("there is no node `{node}`; the nodes that can be named are {}", .known.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", "))]
    UnknownNode { node: String, known: Vec<NodeId> },
    /// The node is there, and this cannot be done at it.
    #[error("node {node}: {reason}")]
    Node { node: NodeId, reason: String },
    /// Nothing in the network can grow so, or the request as a whole makes no sense.
    #[error("{reason}")]
    Request { reason: String },
    /// The grown network would be beyond a budget.
    #[error("the grown network would have {parameters} parameters, more than the limit of {limit}")]
    Budget { parameters: u64, limit: u64 },
    /// The certificate found a difference above its limit.
    #[error("the grown network differs by {max_rel_diff:e} where {limit:e} is allowed")]
    NotPreserved { max_rel_diff: f64, limit: f64 },
}
