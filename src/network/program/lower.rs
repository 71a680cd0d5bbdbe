//! From a network to steps: which kernel computes what from what, and what one kernel does for several nodes.
//!
//! A rectifier whose input nobody else sees is done by the kernel before it. In evaluation a norm with fixed statistics is
//! folded into the weights before it. What changes nothing (dropout in evaluation, a flattening that moves nothing) is no
//! step at all.

use std::sync::Arc;

use super::super::graph::{Network, Node, NodeId};
use super::super::parameter::ParameterKind;
use super::layout::ParameterLayout;
use super::tensors::TensorLayer;
use crate::compute::kernels::{Copy, Kernel, Place};

/// What a program is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Forward in training mode and backward.
    Training,
    /// Forward in evaluation mode, with these parameters, which stay as they are.
    Serving(&'a [f32]),
}

/// One kernel call of a pass.
#[derive(Debug)]
pub(super) struct Step {
    pub kernel: Arc<dyn Kernel>,
    /// The node whose parameters it uses.
    pub node: NodeId,
    /// The values that enter and the one that leaves.
    pub inputs: Vec<usize>,
    pub output: usize,
    /// The parameters, as positions in the layout.
    pub parameters: Vec<usize>,
    /// What the norm behind them does with every channel, to be folded into them: factors and shifts.
    pub folded: Option<(Vec<f32>, Vec<f32>)>,
    /// Whether one of the parameters is trained.
    pub learns: bool,
    /// Whether the backward pass has met its parameters before: then their gradients are added.
    pub shared: bool,
}

impl Step {
    fn copy(node: &NodeId, input: usize, output: usize) -> Self {
        Self {
            kernel: Arc::new(Copy),
            node: node.clone(),
            inputs: vec![input],
            output,
            parameters: Vec::new(),
            folded: None,
            learns: false,
            shared: false,
        }
    }
}

/// A network as steps over values; value 0 is the network's input.
pub(super) struct Lowered {
    pub values: Vec<Place>,
    pub steps: Vec<Step>,
    /// The value that is the network's output.
    pub output: usize,
}

/// Lowers a network.
pub(super) fn lower(network: &Network, layout: &ParameterLayout, purpose: Purpose<'_>) -> Lowered {
    let nodes = network.nodes();
    let mut values = vec![network.input().place()];
    let mut value_of: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut steps: Vec<Step> = Vec::new();
    for (position, node) in nodes.iter().enumerate() {
        // The step of an earlier node does its work too.
        if value_of[position].is_some() {
            continue;
        }
        let shapes = network.input_shapes(node);
        let kernel = node.op.kernel(&shapes);
        let mut kernel = kernel.unwrap_or_else(|| Arc::new(TensorLayer::new(network, node)));
        let value = |id: &NodeId| network.position(id).map_or(0, |at| value_of[at].expect("inputs are earlier nodes"));
        let mut inputs: Vec<usize> = node.inputs.iter().map(value).collect();
        if kernel.changes_nothing(matches!(purpose, Purpose::Training)) {
            value_of[position] = Some(inputs[0]);
            continue;
        }
        let mut done = vec![position];
        let mut folded = None;
        if let (Purpose::Serving(weights), true) = (purpose, node.op.folds())
            && let Some(next) = only_consumer(network, position)
        {
            folded = fixed_affine(network, layout, weights, &nodes[next]);
            done.extend(folded.is_some().then_some(next));
        }
        let next = only_consumer(network, done[done.len() - 1]);
        let slope = next.and_then(|at| nodes[at].op.rectifier()).filter(|&slope| slope >= 0.0);
        if let (Some(next), Some(rectified)) = (next, slope.and_then(|slope| kernel.rectified(slope))) {
            kernel = rectified;
            done.push(next);
        }
        // A value that enters twice would have two gradients in one place: each further time it is a copy.
        for index in 1..inputs.len() {
            if inputs[..index].contains(&inputs[index]) {
                values.push(values[inputs[index]]);
                steps.push(Step::copy(&node.id, inputs[index], values.len() - 1));
                inputs[index] = values.len() - 1;
            }
        }
        let output = values.len();
        let last = &nodes[done[done.len() - 1]].id;
        values.push(network.shape(last).expect("a network knows the shapes of its nodes").place());
        done.into_iter().for_each(|at| value_of[at] = Some(output));
        let specs = network.node_parameters(&node.id);
        let place = |name| layout.position(&node.parameter(name)).expect("the layout is of this network");
        steps.push(Step {
            kernel,
            node: node.id.clone(),
            inputs,
            output,
            parameters: specs.iter().map(|spec| place(spec.name)).collect(),
            folded,
            learns: specs.iter().any(|spec| spec.kind == ParameterKind::Trained),
            shared: is_shared(network, node),
        });
    }
    let output = value_of.last().copied().flatten().expect("a network has a node, and each has its value");
    Lowered { values, steps, output }
}

/// Whether a later node uses the same parameters: the backward pass, which runs the other way, meets that one first.
fn is_shared(network: &Network, node: &Node) -> bool {
    let after = network.position(&node.id).map_or(0, |at| at + 1);
    network.nodes()[after..].iter().any(|later| later.owner() == node.owner())
}

/// The node that takes this one's output, if only one does, and only once.
fn only_consumer(network: &Network, position: usize) -> Option<usize> {
    match network.consumers(&network.nodes()[position].id)[..] {
        [(consumer, _)] => network.position(&consumer.id),
        _ => None,
    }
}

/// What a norm with fixed statistics does with every channel, with its parameters among these; `None` for other ops.
fn fixed_affine(
    network: &Network,
    layout: &ParameterLayout,
    weights: &[f32],
    norm: &Node,
) -> Option<(Vec<f32>, Vec<f32>)> {
    let specs = network.node_parameters(&norm.id).iter();
    let positions = specs.filter_map(|spec| layout.position(&norm.parameter(spec.name)));
    let parameters: Vec<&[f32]> = positions.map(|at| &weights[layout.placed()[at].range.clone()]).collect();
    norm.op.fixed_affine(&parameters)
}
