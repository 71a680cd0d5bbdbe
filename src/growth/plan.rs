//! A plan: what a growth would do, as a value that can be stored, shown and applied later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::{Network, NodeId, ParameterId, ParameterKind, Shape};

use super::refusal::Refusal;
use super::request::GrowthRequest;
use super::{classes, deeper, inputs, wider};

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
    /// What grows: one entry for every set of channels that grow together.
    pub growths: Vec<UnitGrowth>,
    /// The channel axis of every tensor that grows, by the node that makes it; the input under its own id.
    pub layouts: BTreeMap<NodeId, Vec<ChannelRange>>,
    /// The values of the parameters of new nodes.
    pub fills: BTreeMap<ParameterId, Fill>,
}

/// Units (channels that are the same wherever they occur) and those that are added behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitGrowth {
    /// How many there are.
    pub units: usize,
    /// What is added.
    pub added: Added,
}

impl UnitGrowth {
    /// How many units there will be.
    pub fn grown(&self) -> usize {
        self.units
            + match &self.added {
                Added::Copies(sources) => sources.len(),
                Added::New(count) => *count,
            }
    }

    /// The unit that stands at `index` after the growth: an old one, or `None` for a new one.
    pub fn source(&self, index: usize) -> Option<usize> {
        match &self.added {
            _ if index < self.units => Some(index),
            Added::Copies(sources) => sources.get(index - self.units).copied(),
            Added::New(_) => None,
        }
    }
}

/// Units that are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// Copies of these units (Net2WiderNet's random mapping g beyond the old units).
    Copies(Vec<usize>),
    /// So many that copy nothing.
    New(usize),
}

/// A run of a tensor's channel axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRange {
    /// How many units it has before the growth.
    pub units: usize,
    /// How many consecutive channels each unit has here (above 1 behind a Flatten).
    pub block: usize,
    /// Which of [`Plan::growths`] grows it, if one does.
    pub growth: Option<usize>,
}

/// The values of a new node's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// 1 where output and input channel are the same, at the middle of the kernel; 0 elsewhere.
    Identity,
    /// 0 everywhere.
    Zero,
    /// As its op declares, drawn by the plan's seed.
    Initial,
}

/// What a kind of growth has worked out; [`plan`] makes a [`Plan`] of it.
pub(super) struct Design {
    pub student: Network,
    pub growths: Vec<UnitGrowth>,
    pub layouts: BTreeMap<NodeId, Vec<ChannelRange>>,
    pub fills: BTreeMap<ParameterId, Fill>,
    pub approximate: Option<f64>,
}

/// What the request would do to this network, or why it cannot be done. A function of its arguments.
pub fn plan(network: &Network, request: &GrowthRequest, seed: u64) -> Result<Plan, Refusal> {
    let (op, design) = match request {
        GrowthRequest::Wider(wider) => (GrowthOp::Wider, wider::design(network, wider, seed)?),
        GrowthRequest::Deeper(deeper) => (GrowthOp::Deeper, deeper::design(network, deeper)?),
        GrowthRequest::Inputs { add } => (GrowthOp::Inputs, inputs::design(network, *add)?),
        GrowthRequest::Classes { add, epsilon, log_sum_exp } => {
            (GrowthOp::Classes, classes::design(network, *add, *epsilon, *log_sum_exp)?)
        }
    };
    Ok(Plan {
        request: request.clone(),
        op,
        seed,
        touched: touched(network, &design.student),
        parameters_before: network.parameter_count(),
        parameters_after: design.student.parameter_count(),
        student: design.student,
        approximate: design.approximate,
        growths: design.growths,
        layouts: design.layouts,
        fills: design.fills,
    })
}

fn touched(teacher: &Network, student: &Network) -> Vec<TouchedNode> {
    let mut touched = Vec::new();
    for node in student.nodes() {
        let known = teacher.node(&node.id).is_some();
        let shape = |network: &Network| network.shape(&node.id).cloned();
        let dims = |network: &Network| -> Vec<Vec<usize>> {
            network.node_parameters(&node.id).iter().map(|spec| spec.dims.clone()).collect()
        };
        if known && shape(teacher) == shape(student) && dims(teacher) == dims(student) {
            continue;
        }
        touched.push(TouchedNode {
            node: node.id.clone(),
            op: node.op.kind().to_owned(),
            shape_before: shape(teacher),
            shape_after: shape(student).expect("the node is one of the student's own"),
            parameters_before: trained(teacher, &node.id),
            parameters_after: trained(student, &node.id),
        });
    }
    touched
}

fn trained(network: &Network, id: &NodeId) -> u64 {
    let trained = network.node_parameters(id).iter().filter(|spec| spec.kind == ParameterKind::Trained);
    trained.map(|spec| spec.dims.iter().map(|&axis| axis as u64).product::<u64>()).sum()
}
