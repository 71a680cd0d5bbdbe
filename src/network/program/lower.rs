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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Forward in training mode and backward.
    Training,
    /// Forward in evaluation mode, with parameters that stay as they are.
    Serving,
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
    /// The norm that is folded into them: its node's place in the network.
    pub folded: Option<usize>,
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
pub(super) fn lower(network: &Network, layout: &ParameterLayout, purpose: Purpose) -> Lowered {
    let nodes = network.nodes();
    let mut values = vec![network.input().place()];
    let mut value_of: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut steps: Vec<Step> = Vec::new();
    let mut done = vec![false; nodes.len()];
    let mut by_position = vec![usize::MAX; nodes.len()];
    for (position, node) in nodes.iter().enumerate() {
        if done[position] {
            value_of.push(by_position[position]);
            continue;
        }
        let shapes = network.input_shapes(node);
        let kernel = node.op.kernel(&shapes);
        let mut kernel = kernel.unwrap_or_else(|| Arc::new(TensorLayer::new(network, node)));
        let value = |id: &NodeId| network.position(id).map_or(0, |at| value_of[at]);
        let mut inputs: Vec<usize> = node.inputs.iter().map(value).collect();
        if kernel.changes_nothing(purpose == Purpose::Training) {
            value_of.push(inputs[0]);
            continue;
        }
        let mut last = position;
        let mut folded = None;
        if purpose == Purpose::Serving && node.op.folds() {
            let norm = only_consumer(network, last).filter(|&at| is_fixed(network, &nodes[at]));
            if let Some(norm) = norm {
                (folded, last) = (Some(norm), norm);
            }
        }
        let next = only_consumer(network, last);
        let slope = next.and_then(|at| nodes[at].op.rectifier()).filter(|&slope| slope >= 0.0);
        if let (Some(next), Some(rectified)) = (next, slope.and_then(|slope| kernel.rectified(slope))) {
            (kernel, last) = (rectified, next);
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
        values.push(network.shape(&nodes[last].id).expect("a network knows the shapes of its nodes").place());
        value_of.push(output);
        for at in [folded, Some(last)].into_iter().flatten() {
            (done[at], by_position[at]) = (true, output);
        }
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
    let output = *value_of.last().expect("a network has a node");
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

fn is_fixed(network: &Network, node: &Node) -> bool {
    let specs = network.node_parameters(&node.id);
    let ones: Vec<Vec<f32>> = specs.iter().map(|spec| vec![1.0; spec.elements()]).collect();
    node.op.fixed_affine(&ones.iter().map(Vec::as_slice).collect::<Vec<_>>()).is_some()
}
