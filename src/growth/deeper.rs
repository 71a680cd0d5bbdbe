//! Deeper: a new layer that changes nothing yet (Net2Net §2.3), or a residual block whose last layer is zero.
//!
//! The new layer stands behind the activation of the node that is named; all that took the activation's values takes
//! the new layer's. New nodes are called `NODE_deeper1`, `NODE_deeper2`, …; no name is ever used twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::network::ops::add::Add;
use crate::network::ops::batch_norm::BatchNorm;
use crate::network::{FixedSet, Network, Node, NodeId, Op, ParameterId};

use super::plan::{Design, Preserves};
use super::refusal::Refusal;
use super::request::{Deeper, DeeperKind, Extent, NewNorm, Nodes, Split, Wider};
use super::site::{self, Site, plain_layer};
use super::step::{Fill, Statistic, Step};
use super::student::{refuse, refused};
use super::wider;

/// What the deepening would do, or why not.
pub(super) fn design(network: &Network, deeper: &Deeper, seed: u64) -> Result<Design, Refusal> {
    let sites = site::find(network, &deeper.after, deeper.kind)?;
    let mut inserting = Inserting { network, deeper, nodes: network.nodes().to_vec(), fills: BTreeMap::new() };
    let mut layers = Vec::with_capacity(sites.len());
    for site in &sites {
        layers.push(inserting.insert(site)?);
    }
    let student = Network::new(network.input().clone(), inserting.nodes).map_err(refused)?;
    let mut fills = BTreeMap::new();
    for (id, fill) in &inserting.fills {
        let specs = student.node_parameters(id).iter();
        fills.extend(specs.map(|spec| (ParameterId::new(id, spec.name), fill.of(spec.name))));
    }
    let mut steps = vec![Step::inserting(student, fills)];
    if let (Some(extent), DeeperKind::Identity | DeeperKind::Random) = (deeper.width, deeper.kind) {
        let split = if deeper.kind == DeeperKind::Random { Split::RandomPad } else { Split::Replicate };
        let request = Wider { nodes: Nodes::These(layers.clone()), extent, split };
        let widened = wider::design(&steps[0].student, &request, seed);
        steps.extend(widened.map_err(|refusal| of_the_teacher(refusal, &layers, &sites))?.steps);
    }
    let preserves = match (deeper.kind, deeper.norm) {
        (DeeperKind::Residual, _) => Preserves::Bits,
        (DeeperKind::Identity, NewNorm::None) => Preserves::Function,
        (DeeperKind::Identity, NewNorm::Batch) => Preserves::Evaluation,
        (DeeperKind::Random, _) => Preserves::Nothing,
    };
    Ok(Design { steps, preserves })
}

/// A refusal to widen one of the new layers, in the name of the node that it was asked for behind.
fn of_the_teacher(refusal: Refusal, layers: &[NodeId], sites: &[Site]) -> Refusal {
    let Refusal::Node { node, reason } = refusal else {
        return refusal;
    };
    // The parts of a new layer are called after it.
    let of = |layer: &NodeId| {
        let part = node.as_str().strip_prefix(layer.as_str());
        part.is_some_and(|part| part.is_empty() || part.starts_with('_'))
    };
    match layers.iter().zip(sites).find(|(layer, _)| of(layer)) {
        Some((_, site)) => refuse(&site.named, format!("a layer behind it cannot be wider: {reason}")),
        None => Refusal::Node { node, reason },
    }
}

/// What the parameters of a new node are filled with.
enum NodeFill {
    Every(Fill),
    /// A BatchNorm that undoes itself on what this node gives.
    Undoing {
        node: NodeId,
        epsilon: f64,
    },
}

impl NodeFill {
    fn of(&self, parameter: &str) -> Fill {
        match self {
            Self::Every(fill) => fill.clone(),
            Self::Undoing { node, epsilon } => {
                let statistic = match parameter {
                    "scale" => Statistic::Deviation { epsilon: *epsilon },
                    "running_variance" => Statistic::Variance,
                    _ => Statistic::Mean,
                };
                Fill::Measured { node: node.clone(), statistic }
            }
        }
    }
}

/// The graph as far as new layers stand in it.
struct Inserting<'a> {
    network: &'a Network,
    deeper: &'a Deeper,
    nodes: Vec<Node>,
    fills: BTreeMap<NodeId, NodeFill>,
}

impl Inserting<'_> {
    /// Puts a layer at its site; the id of the layer.
    fn insert(&mut self, site: &Site) -> Result<NodeId, Refusal> {
        let name = free_name(&self.nodes, &site.named);
        let part = |suffix: &str| parse(&format!("{name}{suffix}"));
        let shape = self.network.shape(&site.behind).expect("the site was found in this network").clone();
        let mut chain = Chain { end: site.behind.clone(), nodes: Vec::new() };
        let mut layer = site.layer.clone();
        if let (DeeperKind::Residual, Some(extent)) = (self.deeper.kind, self.deeper.width) {
            let width = branch_width(&site.named, shape.channels(), extent)?;
            layer = layer.with_channels(width).unwrap_or(layer);
        }
        chain.add(part(""), layer);
        self.fill(part(""), self.weights());
        if self.deeper.norm == NewNorm::Batch {
            let norm = BatchNorm::default();
            let fill = match self.deeper.kind {
                DeeperKind::Identity => NodeFill::Undoing { node: site.behind.clone(), epsilon: norm.epsilon },
                DeeperKind::Residual | DeeperKind::Random => NodeFill::Every(Fill::Initial),
            };
            chain.add(part("_norm"), Arc::new(norm));
            self.fill(part("_norm"), fill);
        }
        if let Some(activation) = &site.activation {
            let id = part(&format!("_{}", activation.kind()));
            let bends = activation.fixes() == FixedSet::Everything && self.deeper.kind == DeeperKind::Identity;
            self.fill(id.clone(), NodeFill::Every(if bends { Fill::One } else { Fill::Initial }));
            chain.add(id, activation.clone());
        }
        if self.deeper.kind == DeeperKind::Residual {
            chain.add(part("_out"), plain_layer(&shape));
            self.fill(part("_out"), NodeFill::Every(Fill::Zero));
            let inputs = vec![site.behind.clone(), chain.end.clone()];
            chain.nodes.push(Node::new(part("_add"), Arc::new(Add), inputs));
            chain.end = part("_add");
        }
        self.put(chain, &site.behind);
        Ok(part(""))
    }

    /// What the weights of a new layer begin with.
    fn weights(&self) -> NodeFill {
        NodeFill::Every(match self.deeper.kind {
            DeeperKind::Identity => Fill::Identity,
            DeeperKind::Residual | DeeperKind::Random => Fill::Initial,
        })
    }

    fn fill(&mut self, id: NodeId, fill: NodeFill) {
        self.fills.insert(id, fill);
    }

    /// Everything that took the values of `behind` takes those at the end of the chain.
    fn put(&mut self, chain: Chain, behind: &NodeId) {
        let position = self.nodes.iter().position(|node| node.id == *behind);
        let position = position.expect("the site was found in this network");
        for node in &mut self.nodes[position + 1..] {
            for input in node.inputs.iter_mut().filter(|input| *input == behind) {
                input.clone_from(&chain.end);
            }
        }
        self.nodes.splice(position + 1..position + 1, chain.nodes);
    }
}

/// New nodes, each behind the one before.
struct Chain {
    end: NodeId,
    nodes: Vec<Node>,
}

impl Chain {
    fn add(&mut self, id: NodeId, op: Arc<dyn Op>) {
        self.nodes.push(Node::new(id.clone(), op, vec![std::mem::replace(&mut self.end, id)]));
    }
}

/// How wide the branch of a residual is made.
fn branch_width(named: &NodeId, channels: usize, extent: Extent) -> Result<usize, Refusal> {
    let width = wider::extended(channels, extent)?;
    if width <= channels {
        return Err(refuse(named, format!("a layer behind it has {channels} channels by itself; `width` is for more")));
    }
    Ok(width)
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
