//! Deeper: a new layer that changes nothing yet (Net2Net §2.3), or a residual block whose last layer is zero.
//!
//! The new layer stands behind the activation of the node that is named; all that took the activation's values takes
//! the new layer's. New nodes are called `NODE_deeper1`, `NODE_deeper2`, …; no name is ever used twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::network::ops::add::Add;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::linear::Linear;
use crate::network::ops::relu::Relu;
use crate::network::{ChannelRelation, FixedSet, Network, Node, NodeId, Op, ParameterId, Shape};

use super::nonnegative::Nonnegative;
use super::plan::{Design, Fill};
use super::refusal::Refusal;
use super::request::{Deeper, DeeperKind, Nodes};
use super::student::{refuse, refused};

/// The kernel of a new convolution: odd, so that it has a middle.
const KERNEL: [usize; 2] = [3, 3];

/// What the deepening would do, or why not.
pub(super) fn design(network: &Network, deeper: &Deeper) -> Result<Design, Refusal> {
    let sites = match &deeper.after {
        Nodes::All => all_sites(network, deeper.kind)?,
        Nodes::These(ids) => these_sites(network, deeper.kind, ids)?,
    };
    let mut nodes = network.nodes().to_vec();
    let mut fills = Vec::new();
    for site in &sites {
        insert(&mut nodes, &mut fills, network, site, deeper.kind);
    }
    let student = Network::new(network.input().clone(), nodes).map_err(refused)?;
    let fills = fills
        .iter()
        .flat_map(|(id, fill)| {
            let specs = student.node_parameters(id).iter();
            specs.map(move |spec| (ParameterId::new(id, spec.name), *fill))
        })
        .collect();
    Ok(Design { student, growths: Vec::new(), layouts: BTreeMap::new(), fills, approximate: None })
}

/// Where a new layer goes.
#[derive(Debug)]
struct Site {
    /// The node that was named: the new ones are called after it.
    named: NodeId,
    /// The node directly behind which it goes.
    behind: NodeId,
    /// The activation of the new layer.
    activation: Arc<dyn Op>,
}

/// Behind every hidden layer that can take one, each place once.
fn all_sites(network: &Network, kind: DeeperKind) -> Result<Vec<Site>, Refusal> {
    let mut sites: Vec<Site> = Vec::new();
    let mut first = None;
    for node in network.nodes().iter().filter(|node| node.op.produces_channels()) {
        match site(network, node, kind) {
            Ok(site) if sites.iter().any(|other| other.behind == site.behind) => {}
            Ok(site) => sites.push(site),
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

fn these_sites(network: &Network, kind: DeeperKind, ids: &[NodeId]) -> Result<Vec<Site>, Refusal> {
    if ids.is_empty() {
        return Err(Refusal::Request { reason: "a deepening names at least one node".into() });
    }
    let mut sites: Vec<Site> = Vec::new();
    for id in ids {
        if id.is_input() {
            return Err(refuse(id, "it is the network's input; a new layer stands behind a hidden node".into()));
        }
        let Some(node) = network.node(id) else {
            let hidden = |node: &&Node| node.op.produces_channels() && node.id != network.output().id;
            let known = network.nodes().iter().filter(hidden).map(|node| node.id.clone()).collect();
            return Err(Refusal::UnknownNode { node: id.to_string(), known });
        };
        let site = site(network, node, kind)?;
        if !sites.iter().any(|other| other.behind == site.behind) {
            sites.push(site);
        }
    }
    Ok(sites)
}

/// The place of a new layer after `named`, or why there is none.
fn site(network: &Network, named: &Node, kind: DeeperKind) -> Result<Site, Refusal> {
    let behind = if named.op.produces_channels() { follow(network, named) } else { named };
    if behind.id == network.output().id {
        return Err(refuse(&named.id, "its values are the network's outputs; no layer can stand behind them".into()));
    }
    let own = (behind.op.fixes() != FixedSet::Nothing).then(|| behind.op.clone());
    let activation = match (own, kind) {
        (Some(activation), _) => activation,
        (None, DeeperKind::Residual) => Arc::new(Relu),
        (None, DeeperKind::Identity) if Nonnegative::analyse(network).holds(network, &behind.id) => Arc::new(Relu),
        (None, DeeperKind::Identity) => {
            let reason = format!(
                "its values at {} may be negative, and the activation behind an identity layer would change those; \
                 `residual` can stand there",
                behind.id
            );
            return Err(refuse(&named.id, reason));
        }
    };
    Ok(Site { named: named.id.clone(), behind: behind.id.clone(), activation })
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

fn insert(nodes: &mut Vec<Node>, fills: &mut Vec<(NodeId, Fill)>, network: &Network, site: &Site, kind: DeeperKind) {
    let shape = network.shape(&site.behind).expect("the site was found in this network");
    let name = free_name(nodes, &site.named);
    let part = |suffix: &str| parse(&format!("{name}{suffix}"));
    let layer = || Node { id: part(""), op: layer_like(shape), inputs: vec![site.behind.clone()] };
    let active = part(&format!("_{}", site.activation.kind()));
    let activation = Node { id: active.clone(), op: site.activation.clone(), inputs: vec![part("")] };
    let new = match kind {
        DeeperKind::Identity => {
            fills.push((part(""), Fill::Identity));
            vec![layer(), activation]
        }
        DeeperKind::Residual => {
            fills.push((part(""), Fill::Initial));
            fills.push((part("_out"), Fill::Zero));
            let last = Node { id: part("_out"), op: layer_like(shape), inputs: vec![active] };
            let sum = Node { id: part("_add"), op: Arc::new(Add), inputs: vec![site.behind.clone(), part("_out")] };
            vec![layer(), activation, last, sum]
        }
    };
    let position = nodes.iter().position(|node| node.id == site.behind).expect("the site was found in this network");
    let end = new.last().expect("there is at least the layer").id.clone();
    for node in &mut nodes[position + 1..] {
        for input in node.inputs.iter_mut().filter(|input| **input == site.behind) {
            input.clone_from(&end);
        }
    }
    nodes.splice(position + 1..position + 1, new);
}

/// A layer that keeps the shape.
fn layer_like(shape: &Shape) -> Arc<dyn Op> {
    match shape.plane() {
        None => Arc::new(Linear { out: shape.channels() }),
        Some(_) => Arc::new(Conv2d::same(shape.channels(), KERNEL)),
    }
}

/// `hidden1_deeper1` after `hidden1`, then `hidden1_deeper2` after either: no node and no part of one is called so.
fn free_name(nodes: &[Node], named: &NodeId) -> String {
    const LONGEST_BASE: usize = 70;
    let text = named.as_str();
    let base = text.split_once("_deeper").map_or(text, |(base, _)| base);
    let base = &base[..base.len().min(LONGEST_BASE)];
    let mut numbers = 1usize..;
    let free = |number: &usize| {
        let name = format!("{base}_deeper{number}");
        let taken = |rest: &str| rest.is_empty() || rest.starts_with('_');
        !nodes.iter().any(|node| node.id.as_str().strip_prefix(&name).is_some_and(taken))
    };
    let number = numbers.find(free).expect("there are fewer nodes than numbers");
    format!("{base}_deeper{number}")
}

fn parse(name: &str) -> NodeId {
    NodeId::parse(name).expect("a node's id with a short plain suffix is plain and not too long")
}
