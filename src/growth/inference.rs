//! Channel inference: which channels of a network are the same, from the relations that the ops declare.
//!
//! One forward pass over the nodes ("remapping inference", asked for in Net2Net §2.4); no op is known by name. Every
//! tensor's channel axis is an expression over pieces; growing a piece grows every tensor whose expression has it.

use crate::network::{ChannelRelation, Network, NodeId};

use super::pieces::{Expression, Fixture, PieceId, Pieces, Segment};

/// The channels of every tensor of a network.
#[derive(Debug)]
pub(super) struct Channels {
    pub pieces: Pieces,
    /// The tensors whose channels must all be copied equally often, each with the node that asks for it.
    pub across: Vec<(NodeId, Expression)>,
    input: Expression,
    outputs: Vec<Expression>,
}

impl Channels {
    /// The pass.
    pub fn infer(network: &Network) -> Self {
        let mut pieces = Pieces::default();
        let input = pieces.create(&NodeId::input(), network.input().channels());
        pieces.fix(&input, &Fixture::Input);
        let mut outputs: Vec<Expression> = Vec::with_capacity(network.nodes().len());
        let mut across = Vec::new();
        for node in network.nodes() {
            let value = |id| network.position(id).map_or(&input, |at| &outputs[at]);
            let inputs: Vec<&Expression> = node.inputs.iter().map(value).collect();
            let output = match node.op.channels(&network.input_shapes(node)) {
                ChannelRelation::Produces { channels } => pieces.create(&node.id, channels),
                ChannelRelation::Fixed => {
                    let made = pieces.create(&node.id, channels_of(network, &node.id));
                    pieces.fix(&made, &Fixture::Node(node.id.clone()));
                    made
                }
                ChannelRelation::Carries => inputs[0].clone(),
                ChannelRelation::ProducesInGroups { channels, groups } => {
                    let parts = pieces.groups(inputs[0], groups, &node.id);
                    parts[1..].iter().for_each(|other| pieces.unify(&parts[0], other, &node.id));
                    pieces.create(&node.id, channels / groups).repeat(groups)
                }
                ChannelRelation::CarriesAcross { groups } => {
                    pieces.groups(inputs[0], groups, &node.id);
                    across.push((node.id.clone(), inputs[0].clone()));
                    inputs[0].clone()
                }
                ChannelRelation::Concatenates => inputs.into_iter().flatten().copied().collect(),
                ChannelRelation::Takes { start, end } => pieces.range(inputs[0], start, end, &node.id),
                ChannelRelation::Unifies => {
                    inputs[1..].iter().for_each(|other| pieces.unify(inputs[0], other, &node.id));
                    inputs[0].clone()
                }
                ChannelRelation::Expands { block } => {
                    let expand = |&Segment { piece, block: own }| Segment { piece, block: own * block };
                    inputs[0].iter().map(expand).collect()
                }
            };
            if let Some(owner) = node.shares.as_ref().and_then(|owner| network.node(owner)) {
                // One parameter has one mapping along each axis, whoever uses it.
                let value = |id| network.position(id).map_or(&input, |at| &outputs[at]);
                for (own, other) in node.inputs.iter().zip(&owner.inputs) {
                    pieces.unify(value(own), value(other), &node.id);
                }
                pieces.unify(&output, value(&owner.id), &node.id);
            }
            outputs.push(output);
        }
        if let Some(last) = outputs.last() {
            pieces.fix(last, &Fixture::Output);
        }
        let resolved = |expression: &Expression| pieces.resolve(expression);
        let outputs = outputs.iter().map(resolved).collect();
        let across = across.iter().map(|(node, expression)| (node.clone(), resolved(expression))).collect();
        Self { input: resolved(&input), outputs, across, pieces }
    }

    /// The channel axis of a node's output, or of the input.
    pub fn of<'a>(&'a self, network: &Network, id: &NodeId) -> &'a Expression {
        network.position(id).map_or(&self.input, |at| &self.outputs[at])
    }

    /// The pieces of a node's output that may grow, each once, in order.
    pub fn free(&self, network: &Network, id: &NodeId) -> Vec<PieceId> {
        let mut free = Vec::new();
        for segment in self.of(network, id) {
            if self.pieces.fixtures(segment.piece).is_empty() && !free.contains(&segment.piece) {
                free.push(segment.piece);
            }
        }
        free
    }

    /// The nodes that can be named for a widening: those that produce channels of which some may grow.
    pub fn growable(&self, network: &Network) -> Vec<NodeId> {
        let producers = network.nodes().iter().filter(|node| node.op.produces_channels());
        producers.filter(|node| !self.free(network, &node.id).is_empty()).map(|node| node.id.clone()).collect()
    }

    /// The producers whose channels have a part in this tensor.
    pub fn producers(&self, network: &Network, id: &NodeId) -> Vec<NodeId> {
        let wanted = self.of(network, id);
        let shares = |node: &NodeId| {
            self.of(network, node).iter().any(|segment| wanted.iter().any(|other| other.piece == segment.piece))
        };
        let producers = network.nodes().iter().filter(|node| node.op.produces_channels());
        producers.filter(|node| shares(&node.id)).map(|node| node.id.clone()).collect()
    }

    /// Why a node's channels cannot grow, in words.
    pub fn why_fixed(&self, network: &Network, id: &NodeId) -> String {
        let fixtures = self.of(network, id).iter().flat_map(|segment| self.pieces.fixtures(segment.piece));
        match fixtures.min_by_key(|fixture| matches!(fixture, Fixture::Input)) {
            Some(Fixture::Output) => "its channels are the network's outputs; they grow by `classes`".into(),
            Some(Fixture::Input) => "its channels are summed with the network's inputs, which grow by `inputs`".into(),
            Some(Fixture::Node(node)) => format!("node {node} takes its channels in a way that fixes their number"),
            None => "its channels cannot grow".into(),
        }
    }
}

fn channels_of(network: &Network, id: &NodeId) -> usize {
    network.shape(id).expect("a network knows the shapes of its own nodes").channels()
}
