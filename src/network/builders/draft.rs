//! A network on its way: nodes laid one after the other, each behind those that it takes.
//!
//! For the builders of this folder, whose names are plain and used once each.

use std::sync::Arc;

use super::super::error::NetworkError;
use super::super::graph::{Node, NodeId};
use super::super::op::Op;
use super::super::ops::batch_norm::BatchNorm;
use super::super::ops::conv2d::Conv2d;
use super::super::ops::relu::Relu;
use super::super::shape::Shape;

/// A plane is made smaller while both its sides have at least this many positions, so that a convolution never runs
/// over less than 2 by 2.
pub(super) const SMALLEST_POOLED_SIDE: usize = 4;

/// The nodes so far.
#[derive(Default)]
pub(super) struct Draft {
    nodes: Vec<Node>,
}

impl Draft {
    /// Lays a node behind the last one, or behind the network's input where there is none.
    pub(super) fn add(&mut self, name: &str, op: impl Op) -> NodeId {
        let input = self.nodes.last().map_or_else(NodeId::input, |node| node.id.clone());
        self.join(&[input], name, op)
    }

    /// Lays a node behind `input`.
    pub(super) fn after(&mut self, input: &NodeId, name: &str, op: impl Op) -> NodeId {
        self.join(std::slice::from_ref(input), name, op)
    }

    /// Lays a node that takes all `inputs`.
    pub(super) fn join(&mut self, inputs: &[NodeId], name: &str, op: impl Op) -> NodeId {
        let id = NodeId::parse(name).expect("the builders' names are letters, digits and `_`");
        self.nodes.push(Node::new(id.clone(), Arc::new(op), inputs.to_vec()));
        id
    }

    /// Lays a convolution with its BatchNorm behind `input`: `name` and `name_norm`.
    pub(super) fn normed(&mut self, input: &NodeId, name: &str, convolution: Conv2d) -> NodeId {
        self.after(input, name, convolution);
        self.add(&format!("{name}_norm"), BatchNorm::default())
    }

    /// Lays a convolution with its BatchNorm and ReLU behind `input`: `name`, `name_norm` and `name_relu`.
    pub(super) fn active(&mut self, input: &NodeId, name: &str, convolution: Conv2d) -> NodeId {
        self.normed(input, name, convolution);
        self.add(&format!("{name}_relu"), Relu)
    }

    /// The nodes, in order.
    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }
}

/// Height and width of the image that enters, or that `kind` takes nothing else.
pub(super) fn plane_of(kind: &str, input: &Shape) -> Result<(usize, usize), NetworkError> {
    let reason = || format!("`{kind}` needs an image as its only input; for other inputs there is `mlp`");
    input.plane().ok_or_else(|| NetworkError::Graph(reason()))
}

/// Whether a plane is large enough to be made smaller.
pub(super) fn is_large((height, width): (usize, usize)) -> bool {
    height.min(width) >= SMALLEST_POOLED_SIDE
}

/// The plane behind a window of stride 2 that is padded to keep the plane's size.
pub(super) fn halved((height, width): (usize, usize)) -> (usize, usize) {
    (height.div_ceil(2), width.div_ceil(2))
}
