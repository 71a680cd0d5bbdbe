//! Sites: where a new layer can stand, and what it is made of there.
//!
//! An identity needs an activation that leaves alone every value that can occur at the site; that is proven by range
//! analysis, never assumed. Used by [`super::deeper`] alone.

use std::sync::Arc;

use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::linear::Linear;
use crate::network::ops::relu::Relu;
use crate::network::{ChannelRelation, FixedSet, Network, Node, NodeId, Op, Shape};

use super::nonnegative::Nonnegative;
use super::refusal::Refusal;
use super::request::{DeeperKind, Nodes};
use super::student::refuse;
use super::wider::nothing_matches;

/// The kernel of a new convolution where nothing else suggests one: odd, so that it has a middle.
const KERNEL: [usize; 2] = [3, 3];

/// Where a new layer goes.
#[derive(Debug)]
pub(super) struct Site {
    /// The node that was named: the new ones are called after it.
    pub named: NodeId,
    /// The node directly behind which it goes.
    pub behind: NodeId,
    /// The new layer, as wide as what it stands behind.
    pub layer: Arc<dyn Op>,
    /// Its activation; none behind a layer that has one in itself.
    pub activation: Option<Arc<dyn Op>>,
}

/// The sites of a deepening, each once, or why there is none.
pub(super) fn find(network: &Network, after: &Nodes, kind: DeeperKind) -> Result<Vec<Site>, Refusal> {
    match after {
        Nodes::All | Nodes::Matching(_) => matching(network, after, kind),
        Nodes::These(ids) => these(network, ids, kind),
    }
}

/// Behind every hidden layer that is meant and can take one.
fn matching(network: &Network, after: &Nodes, kind: DeeperKind) -> Result<Vec<Site>, Refusal> {
    let layers = network.nodes().iter().filter(|node| node.op.produces_channels());
    let named: Vec<&Node> = layers.filter(|node| after.matches(&node.id)).collect();
    if named.is_empty() {
        return Err(nothing_matches(&ids(&hidden(network))));
    }
    let mut sites: Vec<Site> = Vec::new();
    let mut first = None;
    for node in named {
        match site(network, node, kind) {
            Ok(site) => add(&mut sites, site),
            Err(refusal) => {
                first.get_or_insert(refusal);
            }
        }
    }
    if sites.is_empty() {
        let none = Refusal::Request { reason: "the network has no layer behind which another could stand".into() };
        return Err(first.unwrap_or(none));
    }
    Ok(sites)
}

fn these(network: &Network, named: &[NodeId], kind: DeeperKind) -> Result<Vec<Site>, Refusal> {
    if named.is_empty() {
        return Err(Refusal::Request { reason: "a deepening names at least one node".into() });
    }
    let mut sites: Vec<Site> = Vec::new();
    for id in named {
        if id.is_input() {
            return Err(refuse(id, "it is the network's input; a new layer stands behind a hidden node".into()));
        }
        let Some(node) = network.node(id) else {
            return Err(Refusal::UnknownNode { node: id.to_string(), known: ids(&hidden(network)) });
        };
        add(&mut sites, site(network, node, kind)?);
    }
    Ok(sites)
}

fn add(sites: &mut Vec<Site>, site: Site) {
    if !sites.iter().any(|other| other.behind == site.behind) {
        sites.push(site);
    }
}

/// The nodes that produce channels, but for the output.
fn hidden(network: &Network) -> Vec<&Node> {
    let hidden = |node: &&Node| node.op.produces_channels() && node.id != network.output().id;
    network.nodes().iter().filter(hidden).collect()
}

fn ids(nodes: &[&Node]) -> Vec<NodeId> {
    nodes.iter().map(|node| node.id.clone()).collect()
}

/// The place of a new layer after `named`, or why there is none.
fn site(network: &Network, named: &Node, kind: DeeperKind) -> Result<Site, Refusal> {
    let behind = if named.op.produces_channels() { follow(network, named) } else { named };
    if behind.id == network.output().id {
        return Err(refuse(&named.id, "its values are the network's outputs; no layer can stand behind them".into()));
    }
    let shape = network.shape(&behind.id).expect("a network knows the shapes of its own nodes");
    let layer = named.op.layer_like(shape).unwrap_or_else(|| plain_layer(shape));
    let activation: Option<Arc<dyn Op>> = match (layer.fixes(), behind.op.fixes()) {
        (FixedSet::Everything, _) => None,
        (_, FixedSet::Nothing) => Some(Arc::new(Relu)),
        _ => Some(behind.op.clone()),
    };
    let bends = activation.as_ref().is_some_and(|activation| activation.fixes() != FixedSet::Everything);
    if kind == DeeperKind::Identity && bends && !Nonnegative::analyse(network).holds(network, &behind.id) {
        let reason = format!(
            "its values at {} may be negative, and the activation behind an identity layer would change those; \
             `residual` can stand there",
            behind.id
        );
        return Err(refuse(&named.id, reason));
    }
    Ok(Site { named: named.id.clone(), behind: behind.id.clone(), layer, activation })
}

/// From a producer along its only consumers, as long as these keep its channels (norms, dropout, pooling, a residual
/// sum), up to its activation. Without one: the last such node.
fn follow<'a>(network: &'a Network, producer: &'a Node) -> &'a Node {
    let mut at = producer;
    while at.op.fixes() == FixedSet::Nothing {
        let [(next, _)] = network.consumers(&at.id)[..] else {
            break;
        };
        let keeps = match next.op.channels(&network.input_shapes(next)) {
            ChannelRelation::Carries | ChannelRelation::CarriesAcross { .. } | ChannelRelation::Unifies => true,
            ChannelRelation::Produces { .. }
            | ChannelRelation::ProducesInGroups { .. }
            | ChannelRelation::Concatenates
            | ChannelRelation::Takes { .. }
            | ChannelRelation::Expands { .. }
            | ChannelRelation::Fixed => false,
        };
        if !keeps {
            break;
        }
        at = next;
    }
    at
}

/// The layer that keeps a shape where the named op suggests none.
pub(super) fn plain_layer(shape: &Shape) -> Arc<dyn Op> {
    match shape.plane() {
        None => Arc::new(Linear { out: shape.channels() }),
        Some(_) => Arc::new(Conv2d::same(shape.channels(), KERNEL)),
    }
}
