//! The reference evaluator: f64, plain loops, sums in index order.
//!
//! Slow and obvious on purpose: growth certificates, op tests and gradient checks are decided by it.

use std::collections::BTreeMap;

use super::error::NetworkError;
use super::graph::{Network, Node};
use super::op::{Mode, ReferenceBatch, ReferenceInput};
use super::parameter::{ParameterId, Parameters};

/// The parameters of a network in f64, row-major.
pub type ReferenceParameters = BTreeMap<ParameterId, Vec<f64>>;

/// The parameters in f64.
pub fn widen(parameters: &Parameters) -> Result<ReferenceParameters, NetworkError> {
    let mut wide = ReferenceParameters::new();
    for (id, value) in parameters {
        let values: Vec<f32> = value.flatten_all()?.to_vec1()?;
        wide.insert(id.clone(), values.into_iter().map(f64::from).collect());
    }
    Ok(wide)
}

/// The network's output for a batch of inputs.
///
/// # Errors
/// A batch that does not fit the network, a parameter that is missing or of another size.
pub fn evaluate(
    network: &Network,
    parameters: &ReferenceParameters,
    batch: &ReferenceBatch,
    mode: Mode,
) -> Result<ReferenceBatch, NetworkError> {
    let mut outputs = outputs(network, parameters, batch, mode)?;
    Ok(outputs.pop().expect("a network has a node: `new` refuses none"))
}

/// What every node gives for a batch of inputs, in order of nodes.
///
/// # Errors
/// Those of [`evaluate`].
pub fn outputs(
    network: &Network,
    parameters: &ReferenceParameters,
    batch: &ReferenceBatch,
    mode: Mode,
) -> Result<Vec<ReferenceBatch>, NetworkError> {
    if batch.rows == 0 || batch.shape != *network.input() || batch.values.len() != batch.rows * batch.shape.elements() {
        let (given, wanted) = (&batch.shape, network.input());
        let text = format!("a batch of {} rows of {given}, but the network takes rows of {wanted}", batch.rows);
        return Err(NetworkError::Batch(text));
    }
    let mut outputs: Vec<ReferenceBatch> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let value = |id| network.position(id).map_or(batch, |at| &outputs[at]);
        let inputs: Vec<&ReferenceBatch> = node.inputs.iter().map(value).collect();
        let values = parameters_of(network, node, parameters)?;
        let input = ReferenceInput { inputs: &inputs, parameters: &values, mode, node: node.id.as_str() };
        outputs.push(node.op.reference(input));
    }
    Ok(outputs)
}

fn parameters_of<'a>(
    network: &Network,
    node: &Node,
    parameters: &'a ReferenceParameters,
) -> Result<Vec<&'a [f64]>, NetworkError> {
    let mut values = Vec::with_capacity(network.node_parameters(&node.id).len());
    for spec in network.node_parameters(&node.id) {
        match parameters.get(&node.parameter(spec.name)) {
            Some(value) if value.len() == spec.dims.iter().product::<usize>() => values.push(value.as_slice()),
            _ => {
                let reason = format!("its parameter `{}` is missing or of another size", spec.name);
                return Err(NetworkError::Node { node: node.id.clone(), reason });
            }
        }
    }
    Ok(values)
}
