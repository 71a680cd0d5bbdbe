//! A plan: what a growth would do, as a value that can be stored, shown, compared and applied later.
//!
//! The same network, request and seed give the same plan, and the same plan gives the same student to the bit.

use serde::{Deserialize, Serialize};

use crate::network::{Network, NodeId, ParameterKind, Shape};

use super::refusal::Refusal;
use super::request::GrowthRequest;
use super::step::Step;
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

/// What a growth promises to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Preserves {
    /// Every old logit, to the bit: only zeros are added to it (`fresh`, `residual`, inputs, classes).
    Bits,
    /// Every logit but for rounding, in training too, dropout aside.
    Function,
    /// Every logit but for rounding in evaluation; a new BatchNorm normalises otherwise in training.
    Evaluation,
    /// The function but for noise that was asked for: the largest relative difference of logits that is accepted.
    Approximately { tolerance: f64 },
    /// Nothing: a baseline to compare with.
    Nothing,
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
    /// Trained parameters in the teacher (0 for a new node) and in the student; 0 where another node's are shared.
    pub parameters_before: u64,
    /// Trained parameters in the student.
    pub parameters_after: u64,
    /// Floating-point operations of one row in the teacher; 0 for a new node.
    pub flops_before: u64,
    /// Floating-point operations of one row in the student.
    pub flops_after: u64,
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
    /// What it promises.
    pub preserves: Preserves,
    /// The nodes whose output, parameters or work change, and the new ones.
    pub touched: Vec<TouchedNode>,
    /// Trained parameters of the teacher.
    pub parameters_before: u64,
    /// Trained parameters of the student.
    pub parameters_after: u64,
    /// Floating-point operations of one row through the teacher, forward.
    pub flops_before: u64,
    /// Floating-point operations of one row through the student, forward.
    pub flops_after: u64,
    /// What is done, in order, each step on the student of the one before: one, or two where a new layer is also widened.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The grown network.
    ///
    /// # Panics
    /// A plan without steps, which [`plan`] never makes and reading a stored one refuses.
    pub fn student(&self) -> &Network {
        &self.steps.last().expect("a plan has a step: none is made or read without").student
    }
}

/// What a kind of growth has worked out; [`plan`] makes a [`Plan`] of it.
pub(super) struct Design {
    pub steps: Vec<Step>,
    pub preserves: Preserves,
}

/// What the request would do to this network, or why it cannot be done. A function of its arguments.
pub fn plan(network: &Network, request: &GrowthRequest, seed: u64) -> Result<Plan, Refusal> {
    let (op, design) = match request {
        GrowthRequest::Wider(wider) => (GrowthOp::Wider, wider::design(network, wider, seed)?),
        GrowthRequest::Deeper(deeper) => (GrowthOp::Deeper, deeper::design(network, deeper, seed)?),
        GrowthRequest::Inputs { add } => (GrowthOp::Inputs, inputs::design(network, *add)?),
        GrowthRequest::Classes { add, epsilon, log_sum_exp } => {
            (GrowthOp::Classes, classes::design(network, *add, *epsilon, *log_sum_exp)?)
        }
    };
    let student = &design.steps.last().expect("every design has a step").student;
    Ok(Plan {
        request: request.clone(),
        op,
        seed,
        preserves: design.preserves,
        touched: touched(network, student),
        parameters_before: network.parameter_count(),
        parameters_after: student.parameter_count(),
        flops_before: network.flops_per_row(),
        flops_after: student.flops_per_row(),
        steps: design.steps,
    })
}

fn touched(teacher: &Network, student: &Network) -> Vec<TouchedNode> {
    let shape = |network: &Network, id: &NodeId| network.shape(id).cloned();
    let node = |id: &NodeId| TouchedNode {
        node: id.clone(),
        op: student.node(id).map(|node| node.op.kind().to_owned()).unwrap_or_default(),
        shape_before: shape(teacher, id),
        shape_after: shape(student, id).expect("the node is one of the student's own"),
        parameters_before: trained(teacher, id),
        parameters_after: trained(student, id),
        flops_before: flops(teacher, id),
        flops_after: flops(student, id),
    };
    let changed = |touched: &TouchedNode| {
        touched.shape_before.as_ref() != Some(&touched.shape_after)
            || touched.parameters_before != touched.parameters_after
            || touched.flops_before != touched.flops_after
    };
    student.nodes().iter().map(|at| node(&at.id)).filter(changed).collect()
}

fn trained(network: &Network, id: &NodeId) -> u64 {
    let specs = network.node(id).filter(|node| node.shares.is_none()).map(|_| network.node_parameters(id));
    let trained = specs.into_iter().flatten().filter(|spec| spec.kind == ParameterKind::Trained);
    trained.map(|spec| spec.elements() as u64).sum()
}

fn flops(network: &Network, id: &NodeId) -> u64 {
    network.node(id).map_or(0, |node| node.op.cost(&network.input_shapes(node)).flops)
}
