//! `graph`: any network, node by node, as stored networks hold them.

use super::super::error::NetworkError;
use super::super::graph::{Network, NodeDocument};
use super::super::shape::Shape;

/// The network of these nodes for inputs of `input`; its last node must give a flat row of `outputs` numbers.
pub(super) fn graph(nodes: &[NodeDocument], input: &Shape, outputs: usize) -> Result<Network, NetworkError> {
    let nodes = nodes.iter().map(|node| node.clone().read()).collect::<Result<Vec<_>, _>>()?;
    let network = Network::new(input.clone(), nodes)?;
    let found = network.output_shape();
    if *found == Shape::flat(outputs) {
        return Ok(network);
    }
    let reason = match found.plane() {
        None => format!("it is the last node and gives {found} outputs; the task needs {outputs}"),
        Some(_) => {
            format!("it is the last node and gives images of {found}; the task needs a flat row of {outputs} outputs")
        }
    };
    Err(NetworkError::Node { node: network.output().id.clone(), reason })
}
