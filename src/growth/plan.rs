//! A plan: what a growth would do, as a value that can be stored, shown and applied later.

use serde::{Deserialize, Serialize};

use crate::network::{Network, NodeId, Shape};

use super::refusal::Refusal;
use super::request::GrowthRequest;

/// The kinds of growth, as metrics and journal name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthOp {
    Wider,
    Deeper,
    Inputs,
    Classes,
}

impl GrowthOp {
    /// All of them, for metrics.
    pub const ALL: [Self; 4] = [Self::Wider, Self::Deeper, Self::Inputs, Self::Classes];

    /// The name in documents and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Deeper => "deeper",
            Self::Inputs => "inputs",
            Self::Classes => "classes",
        }
    }
}

/// What happens to one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TouchedNode {
    /// The node.
    pub node: NodeId,
    /// Its op.
    pub op: String,
    /// The output's shape in the teacher; absent for a new node.
    pub shape_before: Option<Shape>,
    /// The output's shape in the student.
    pub shape_after: Shape,
    /// Trained parameters in the teacher (0 for a new node) and in the student.
    pub parameters_before: u64,
    /// Trained parameters in the student.
    pub parameters_after: u64,
}

/// What a growth would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What was asked for.
    pub request: GrowthRequest,
    /// The kind.
    pub op: GrowthOp,
    /// The seed of every random choice in it.
    pub seed: u64,
    /// The nodes whose output or parameters change shape, and the new ones.
    pub touched: Vec<TouchedNode>,
    /// Trained parameters of the teacher.
    pub parameters_before: u64,
    /// Trained parameters of the student.
    pub parameters_after: u64,
    /// The student's graph.
    pub student: Network,
    /// For an approximate growth (`paper` with noise) the largest relative difference that it accepts.
    pub approximate: Option<f64>,
    // helper B adds here what `apply` needs (mappings by parameter), serialisable.
}

/// What the request would do to this network, or why it cannot be done. A function of its arguments.
pub fn plan(network: &Network, request: &GrowthRequest, seed: u64) -> Result<Plan, Refusal> {
    let _ = (network, request, seed);
    unimplemented!("helper B")
}
