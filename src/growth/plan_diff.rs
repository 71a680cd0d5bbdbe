//! The difference of two plans, as data: what was asked for, what is promised, what happens to which node.
//!
//! Empty for equal plans, and for no others that planning makes. Made of plans alone, so that stored ones can be compared
//! with new ones; read by the command line and by whoever wants to know why a growth came out otherwise than another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::{NodeId, Shape};

use super::plan::{GrowthOp, NodeChange, Plan, Preserves, TouchedNode};
use super::request::GrowthRequest;
use super::step::Step;

/// A value that is not the same in two plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed<T> {
    /// In the first.
    pub first: T,
    /// In the second.
    pub second: T,
}

impl<T: Clone + PartialEq> Changed<T> {
    /// The two values, if they differ.
    fn between(first: &T, second: &T) -> Option<Self> {
        (first != second).then(|| Self { first: first.clone(), second: second.clone() })
    }
}

/// In what two plans differ. What is absent is the same in both.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlanDiff {
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Changed<GrowthRequest>>,
    /// The kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Changed<GrowthOp>>,
    /// The seed of every random choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Changed<u64>>,
    /// The promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserves: Option<Changed<Preserves>>,
    /// Nodes that only the first touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_first: Vec<TouchedNode>,
    /// Nodes that only the second touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_second: Vec<TouchedNode>,
    /// Nodes that both touch, otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeDiff>,
    /// Trained parameters of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_before: Option<Changed<u64>>,
    /// Trained parameters of the student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_after: Option<Changed<u64>>,
    /// Floating-point operations of one row through the teacher, forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_before: Option<Changed<u64>>,
    /// Floating-point operations of one row through the student, forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_after: Option<Changed<u64>>,
    /// Layers with weights of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_before: Option<Changed<usize>>,
    /// Layers with weights of the student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_after: Option<Changed<usize>>,
    /// Steps that are done otherwise: other graphs, other units that are copied, other values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepDiff>,
}

/// In what the same node is touched otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeDiff {
    /// The node.
    pub node: NodeId,
    /// Its op.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Changed<String>>,
    /// How it comes to be touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Changed<NodeChange>>,
    /// The output's shape in the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_before: Option<Changed<Option<Shape>>>,
    /// The output's shape in the student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_after: Option<Changed<Shape>>,
    /// Trained parameters in the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_before: Option<Changed<u64>>,
    /// Trained parameters in the student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_after: Option<Changed<u64>>,
    /// Floating-point operations of one row in the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_before: Option<Changed<u64>>,
    /// Floating-point operations of one row in the student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_after: Option<Changed<u64>>,
}

/// In what a step is done otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDiff {
    /// Which step, from 0.
    pub step: usize,
    /// Its parts that differ.
    pub parts: Vec<StepPart>,
}

/// The parts of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPart {
    /// The whole: only one of the plans has it.
    Presence,
    /// The graph after it.
    Student,
    /// Which units are copied, or how many are added.
    Growths,
    /// The channel axes of the tensors that grow.
    Layouts,
    /// How weights are shared.
    Split,
    /// What new rows begin with.
    NewRows,
    /// The values of new parameters.
    Fills,
}

impl fmt::Display for StepPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Presence => "only one of the plans has it",
            Self::Student => "another graph",
            Self::Growths => "other units grow",
            Self::Layouts => "other channel axes",
            Self::Split => "shares of another kind",
            Self::NewRows => "new rows begin otherwise",
            Self::Fills => "new parameters begin otherwise",
        })
    }
}

impl PlanDiff {
    /// What is in the second plan otherwise than in the first.
    pub fn between(first: &Plan, second: &Plan) -> Self {
        Self {
            request: Changed::between(&first.request, &second.request),
            op: Changed::between(&first.op, &second.op),
            seed: Changed::between(&first.seed, &second.seed),
            preserves: Changed::between(&first.preserves, &second.preserves),
            only_first: only(first, second),
            only_second: only(second, first),
            nodes: nodes(first, second),
            parameters_before: Changed::between(&first.parameters_before, &second.parameters_before),
            parameters_after: Changed::between(&first.parameters_after, &second.parameters_after),
            flops_before: Changed::between(&first.flops_before, &second.flops_before),
            flops_after: Changed::between(&first.flops_after, &second.flops_after),
            layers_before: Changed::between(&first.layers_before, &second.layers_before),
            layers_after: Changed::between(&first.layers_after, &second.layers_after),
            steps: steps(&first.steps, &second.steps),
        }
    }

    /// Whether the plans are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The nodes that `one` touches and `other` does not.
fn only(one: &Plan, other: &Plan) -> Vec<TouchedNode> {
    let both = |node: &NodeId| other.touched.iter().any(|touched| touched.node == *node);
    one.touched.iter().filter(|touched| !both(&touched.node)).cloned().collect()
}

fn nodes(first: &Plan, second: &Plan) -> Vec<NodeDiff> {
    let other = |touched: &TouchedNode| second.touched.iter().find(|other| other.node == touched.node);
    let pairs = first.touched.iter().filter_map(|touched| Some((touched, other(touched)?)));
    pairs.filter(|(first, second)| first != second).map(|(first, second)| node(first, second)).collect()
}

fn node(first: &TouchedNode, second: &TouchedNode) -> NodeDiff {
    NodeDiff {
        node: first.node.clone(),
        op: Changed::between(&first.op, &second.op),
        change: Changed::between(&first.change, &second.change),
        shape_before: Changed::between(&first.shape_before, &second.shape_before),
        shape_after: Changed::between(&first.shape_after, &second.shape_after),
        parameters_before: Changed::between(&first.parameters_before, &second.parameters_before),
        parameters_after: Changed::between(&first.parameters_after, &second.parameters_after),
        flops_before: Changed::between(&first.flops_before, &second.flops_before),
        flops_after: Changed::between(&first.flops_after, &second.flops_after),
    }
}

fn steps(first: &[Step], second: &[Step]) -> Vec<StepDiff> {
    let parts = |step: usize| match (first.get(step), second.get(step)) {
        (Some(first), Some(second)) => step_parts(first, second),
        _ => vec![StepPart::Presence],
    };
    let diffs = (0..first.len().max(second.len())).map(|step| StepDiff { step, parts: parts(step) });
    diffs.filter(|diff| !diff.parts.is_empty()).collect()
}

fn step_parts(first: &Step, second: &Step) -> Vec<StepPart> {
    let parts = [
        (StepPart::Student, first.student != second.student),
        (StepPart::Growths, first.growths != second.growths),
        (StepPart::Layouts, first.layouts != second.layouts),
        (StepPart::Split, first.split != second.split),
        (StepPart::NewRows, first.new_rows != second.new_rows),
        (StepPart::Fills, first.fills != second.fills),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}
