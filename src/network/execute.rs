//! The two passes over a network: forward and then backward, with candle tensors as values, without candle's autograd.
//!
//! An evaluation holds a node's output only until its last consumer has run; a training pass holds what the backward
//! pass needs, which gives it back node by node. Trainers and the serving path run networks through here.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use super::error::NetworkError;
use super::graph::{Network, Node};
use super::op::{BackwardInput, ForwardInput, Mode};
use super::parameter::{ParameterId, ParameterKind, Parameters};

/// A forward pass: its output, and in training what the backward pass needs.
pub struct Pass {
    /// The network's output, `[rows, …output shape]`.
    pub output: Tensor,
    /// New values of running statistics (training only), by parameter.
    pub statistics: BTreeMap<ParameterId, Tensor>,
    /// What the backward pass needs; `None` after an evaluation.
    kept: Option<Kept>,
}

/// What a training pass keeps: the batch, and in order of nodes their outputs and what their ops saved.
struct Kept {
    batch: Tensor,
    outputs: Vec<Tensor>,
    saved: Vec<Vec<Tensor>>,
}

/// The forward pass of a batch `[rows, …input shape]` for evaluation: nothing is kept.
pub fn evaluate(network: &Network, parameters: &Parameters, batch: &Tensor) -> Result<Tensor, NetworkError> {
    Ok(forward(network, parameters, batch, Mode::Evaluate)?.output)
}

/// The forward pass of a batch, keeping what [`backward`] needs if `mode` is training.
///
/// # Errors
/// A batch that is empty or not of the network's input shape, a parameter that is missing or not of its shape.
pub fn forward(network: &Network, parameters: &Parameters, batch: &Tensor, mode: Mode) -> Result<Pass, NetworkError> {
    let rows = check_batch(network, batch)?;
    let training = matches!(mode, Mode::Train { .. });
    let mut uses = uses(network);
    let mut outputs: Vec<Option<Tensor>> = vec![None; network.nodes().len()];
    let mut saved = Vec::new();
    let mut statistics = BTreeMap::new();
    for (position, node) in network.nodes().iter().enumerate() {
        let inputs = inputs_of(network, node, batch, |at| outputs[at].as_ref());
        let values = parameters_of(network, node, parameters)?;
        let input = ForwardInput { inputs: &inputs, parameters: &values, mode, node: node.id.as_str() };
        let forward = node.op.forward(input)?;
        check_shape(node, "output", forward.output.dims(), &network_shape(network, node, rows))?;
        outputs[position] = Some(forward.output);
        let named = |(name, value): (&str, Tensor)| (node.parameter(name), value);
        statistics.extend(forward.statistics.into_iter().map(named));
        if training {
            saved.push(forward.saved);
        } else {
            release(network, node, &mut uses, &mut outputs);
        }
    }
    let output = outputs.last().cloned().flatten().expect("the last node has run and nothing consumes it");
    let kept = training.then(|| Kept { batch: batch.clone(), outputs: outputs.into_iter().flatten().collect(), saved });
    Ok(Pass { output, statistics, kept })
}

/// The backward pass: the gradient of every trained parameter, given the gradient of the loss by the output.
///
/// # Errors
/// A pass that was an evaluation, a gradient that is not of the output's shape, a missing parameter.
pub fn backward(
    network: &Network,
    parameters: &Parameters,
    pass: Pass,
    gradient: &Tensor,
) -> Result<BTreeMap<ParameterId, Tensor>, NetworkError> {
    let Some(mut kept) = pass.kept else {
        return Err(NetworkError::Batch("an evaluation keeps nothing for a backward pass".into()));
    };
    check_shape(network.output(), "gradient", gradient.dims(), pass.output.dims())?;
    let learns = learning_nodes(network);
    let mut arriving: Vec<Option<Tensor>> = vec![None; network.nodes().len()];
    if let Some(last) = arriving.last_mut() {
        *last = Some(gradient.clone());
    }
    let mut result = BTreeMap::new();
    for (position, node) in network.nodes().iter().enumerate().rev() {
        let arrived = arriving[position].take();
        // Every consumer of this node has been passed: its output is held for its own backward pass alone.
        let (Some(output), Some(saved)) = (kept.outputs.pop(), kept.saved.pop()) else {
            return Err(NetworkError::Batch("the pass is of another network".into()));
        };
        if !learns[position] {
            continue;
        }
        let gradient = arrived.ok_or_else(|| fault(node, "no gradient reaches it".into()))?;
        let inputs = inputs_of(network, node, &kept.batch, |at| kept.outputs.get(at));
        let values = parameters_of(network, node, parameters)?;
        let needed: Vec<bool> =
            node.inputs.iter().map(|id| network.position(id).is_some_and(|at| learns[at])).collect();
        let backward = node.op.backward(BackwardInput {
            inputs: &inputs,
            parameters: &values,
            output: &output,
            saved: &saved,
            gradient: &gradient,
            needed: &needed,
        })?;
        for (spec, gradient) in network.node_parameters(&node.id).iter().zip(backward.parameters) {
            if spec.kind == ParameterKind::Trained {
                let gradient = gradient.ok_or_else(|| fault(node, format!("gave no gradient for `{}`", spec.name)))?;
                check_shape(node, "gradient of a parameter", gradient.dims(), &spec.dims)?;
                let id = node.parameter(spec.name);
                let sum = add(result.remove(&id), gradient)?;
                result.insert(id, sum);
            }
        }
        for (id, gradient) in node.inputs.iter().zip(backward.inputs) {
            let (Some(at), Some(gradient)) = (network.position(id), gradient) else { continue };
            arriving[at] = Some(add(arriving[at].take(), gradient)?);
        }
    }
    Ok(result)
}

/// A gradient and what has arrived at the same place before: a tensor or a parameter that is used more than once.
fn add(before: Option<Tensor>, gradient: Tensor) -> candle_core::Result<Tensor> {
    match before {
        Some(sum) => sum + gradient,
        None => Ok(gradient),
    }
}

/// How many rows the batch has, if it is one of this network's inputs.
fn check_batch(network: &Network, batch: &Tensor) -> Result<usize, NetworkError> {
    let expected = network.input();
    match batch.dims() {
        [rows, axes @ ..] if *rows > 0 && axes == expected.axes() && batch.dtype() == DType::F32 => Ok(*rows),
        dims => Err(NetworkError::Batch(format!(
            "a batch of {dims:?} {}, but the network takes [rows, {expected}] of f32",
            batch.dtype().as_str()
        ))),
    }
}

/// For every node by how many inputs of nodes it is taken.
fn uses(network: &Network) -> Vec<usize> {
    let mut uses = vec![0; network.nodes().len()];
    let taken = network.nodes().iter().flat_map(|node| &node.inputs).filter_map(|id| network.position(id));
    taken.for_each(|at| uses[at] += 1);
    uses
}

/// Drops the outputs whose last consumer was this node.
fn release(network: &Network, node: &Node, uses: &mut [usize], outputs: &mut [Option<Tensor>]) {
    for at in node.inputs.iter().filter_map(|id| network.position(id)) {
        uses[at] -= 1;
        if uses[at] == 0 {
            outputs[at] = None;
        }
    }
}

/// For every node whether it or a node below it has something to learn: elsewhere no gradient is computed.
fn learning_nodes(network: &Network) -> Vec<bool> {
    let mut learns = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let own = network.node_parameters(&node.id).iter().any(|spec| spec.kind == ParameterKind::Trained);
        let below = node.inputs.iter().filter_map(|id| network.position(id)).any(|at| learns[at]);
        learns.push(own || below);
    }
    learns
}

fn inputs_of<'a>(
    network: &Network,
    node: &Node,
    batch: &'a Tensor,
    output: impl Fn(usize) -> Option<&'a Tensor>,
) -> Vec<&'a Tensor> {
    let value = |id| match network.position(id) {
        None => batch,
        Some(at) => output(at).expect("a node's inputs are earlier and are held until it has run"),
    };
    node.inputs.iter().map(value).collect()
}

/// A node's parameters in the order of their declaration.
fn parameters_of<'a>(
    network: &Network,
    node: &Node,
    parameters: &'a Parameters,
) -> Result<Vec<&'a Tensor>, NetworkError> {
    let mut values = Vec::with_capacity(network.node_parameters(&node.id).len());
    for spec in network.node_parameters(&node.id) {
        let value = parameters
            .get(&node.parameter(spec.name))
            .ok_or_else(|| fault(node, format!("its parameter `{}` is missing", spec.name)))?;
        check_shape(node, spec.name, value.dims(), &spec.dims)?;
        values.push(value);
    }
    Ok(values)
}

fn network_shape(network: &Network, node: &Node, rows: usize) -> Vec<usize> {
    network.shape(&node.id).expect("a network knows the shapes of its own nodes").batched(rows)
}

fn check_shape(node: &Node, what: &str, found: &[usize], expected: &[usize]) -> Result<(), NetworkError> {
    if found == expected {
        return Ok(());
    }
    Err(fault(node, format!("its {what} has the shape {found:?} instead of {expected:?}")))
}

fn fault(node: &Node, reason: String) -> NetworkError {
    NetworkError::Node { node: node.id.clone(), reason }
}
