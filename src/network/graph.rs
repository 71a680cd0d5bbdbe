//! The graph: nodes in topological order over one input, ending in one output.
//!
//! A [`Network`] is always valid: ids are unique and plain, every input of a node stands before it, all shapes fit and
//! the sizes stay below the [`Limits`]. It holds no weights: those are [`super::Parameters`], by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::NetworkError;
use super::op::Op;
use super::ops;
use super::parameter::{ParameterId, ParameterKind, ParameterSpec};
use super::shape::Shape;

/// The id that stands for the network's input among the inputs of nodes.
pub const INPUT: &str = "input";

/// The longest id a node may have.
const MAX_ID_LENGTH: usize = 100;

/// A node's id: letters, digits, `_`, `-` and `.`; stable and never reused within a network's life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Reads an id; says what is wrong with one that is not plain.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > MAX_ID_LENGTH || !text.chars().all(plain) {
            return Err(format!("a node id has 1 to {MAX_ID_LENGTH} letters, digits, '_', '-' or '.'"));
        }
        Ok(Self(text.into()))
    }

    /// The id of the network's input.
    pub fn input() -> Self {
        Self(INPUT.into())
    }

    /// Whether this is the network's input.
    pub fn is_input(&self) -> bool {
        &*self.0 == INPUT
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One node: what it computes and from what.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its stable name.
    pub id: NodeId,
    /// What it computes.
    pub op: Arc<dyn Op>,
    /// The nodes whose outputs it takes, in the op's order; [`NodeId::input`] for the network's input.
    pub inputs: Vec<NodeId>,
    /// The earlier node whose parameters it uses instead of its own (shared weights): one of the same op, over inputs of
    /// the same channels.
    pub shares: Option<NodeId>,
}

impl Node {
    /// A node with parameters of its own.
    pub fn new(id: NodeId, op: Arc<dyn Op>, inputs: Vec<NodeId>) -> Self {
        Self { id, op, inputs, shares: None }
    }

    /// The node whose parameters it uses: itself, unless it shares those of another.
    pub fn owner(&self) -> &NodeId {
        self.shares.as_ref().unwrap_or(&self.id)
    }

    /// The name in the network of its op's parameter `name`.
    pub fn parameter(&self, name: &str) -> ParameterId {
        ParameterId::new(self.owner(), name)
    }
}

/// How large a network may be at all, whatever the budget of its policy.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most nodes.
    pub nodes: usize,
    /// Most trained parameters.
    pub parameters: u64,
    /// Most elements of any node's output for one row.
    pub elements: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 10_000, parameters: 500_000_000, elements: 16_000_000 }
    }
}

/// A valid network without its weights.
#[derive(Clone)]
pub struct Network {
    input: Shape,
    nodes: Arc<[Node]>,
    shapes: Arc<[Shape]>,
    specs: Arc<[Vec<ParameterSpec>]>,
    positions: Arc<HashMap<NodeId, usize>>,
}

impl Network {
    /// Checks and keeps the graph; `nodes` stand in an order in which every input is earlier, the last is the output.
    ///
    /// # Errors
    /// A repeated or reserved id, an unknown or later input, a shape that does not fit, a size above [`Limits`], a
    /// node that nothing uses, shared parameters that are not those of an earlier node of the same op and shapes.
    pub fn new(input: Shape, nodes: Vec<Node>) -> Result<Self, NetworkError> {
        let limits = Limits::default();
        if nodes.is_empty() {
            return Err(NetworkError::Graph("a network needs at least one node".into()));
        }
        within("the number of nodes", nodes.len() as u64, limits.nodes as u64)?;
        check_axes(&input, &limits)?;
        let mut positions = HashMap::with_capacity(nodes.len());
        let mut shapes: Vec<Shape> = Vec::with_capacity(nodes.len());
        let mut specs = Vec::with_capacity(nodes.len());
        let mut parameters = 0u64;
        for (position, node) in nodes.iter().enumerate() {
            if node.id.is_input() {
                return Err(NetworkError::Graph(format!("the id `{INPUT}` is kept for the network's input")));
            }
            let inputs = node
                .inputs
                .iter()
                .map(|id| match positions.get(id) {
                    _ if id.is_input() => Ok(input.clone()),
                    Some(&at) => Ok(Shape::clone(&shapes[at])),
                    None => Err(fault(node, format!("takes `{id}`, which is no earlier node"))),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let shape = node.op.output_shape(&inputs).map_err(|reason| fault(node, reason))?;
            check_axes(&shape, &limits)?;
            let declared = node.op.parameters(&inputs);
            if let Some(owner) = &node.shares {
                let shared = positions.get(owner).map(|&at: &usize| (&nodes[at], &specs[at]));
                check_shared(node, &declared, shared)?;
            }
            let own = declared.iter().filter(|spec| node.shares.is_none() && spec.kind == ParameterKind::Trained);
            for spec in own {
                let size = spec.dims.iter().try_fold(1u64, |all, &axis| all.checked_mul(axis as u64));
                parameters = size.and_then(|size| parameters.checked_add(size)).unwrap_or(u64::MAX);
            }
            within("the number of parameters", parameters, limits.parameters)?;
            if positions.insert(node.id.clone(), position).is_some() {
                return Err(NetworkError::Graph(format!("the node id `{}` is used twice", node.id)));
            }
            shapes.push(shape);
            specs.push(declared);
        }
        let used: std::collections::HashSet<&NodeId> = nodes.iter().flat_map(|node| &node.inputs).collect();
        if let Some(idle) = nodes[..nodes.len() - 1].iter().find(|node| !used.contains(&node.id)) {
            return Err(fault(idle, "nothing uses its output, and only the last node is the network's output".into()));
        }
        Ok(Self {
            input,
            nodes: nodes.into(),
            shapes: shapes.into(),
            specs: specs.into(),
            positions: Arc::new(positions),
        })
    }

    /// The shape of one input row.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// The nodes in order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The last node: its output is the network's.
    pub fn output(&self) -> &Node {
        self.nodes.last().expect("a network has a node: `new` refuses none")
    }

    /// The shape of the network's output for one row.
    pub fn output_shape(&self) -> &Shape {
        self.shapes.last().expect("a network has a node: `new` refuses none")
    }

    /// A node by its id; `None` for the input and unknown ids.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.position(id).map(|position| &self.nodes[position])
    }

    /// Where a node stands in [`Network::nodes`].
    pub fn position(&self, id: &NodeId) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// The shape of a node's output, or of the input.
    pub fn shape(&self, id: &NodeId) -> Option<&Shape> {
        if id.is_input() { Some(&self.input) } else { self.position(id).map(|position| &self.shapes[position]) }
    }

    /// The shapes that enter a node, in order. `node` must be one of this network's.
    pub fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        let shape = |id| self.shape(id).expect("the inputs of a network's own node are its nodes").clone();
        node.inputs.iter().map(shape).collect()
    }

    /// The declared parameters of a node, in the op's order; those of another node if it shares them; empty for unknown
    /// ids.
    pub fn node_parameters(&self, id: &NodeId) -> &[ParameterSpec] {
        self.position(id).map_or(&[], |position| &self.specs[position])
    }

    /// The nodes with parameters of their own, each with their declarations.
    pub fn owners(&self) -> impl Iterator<Item = (&Node, &[ParameterSpec])> {
        let nodes = self.nodes.iter().zip(self.specs.iter());
        nodes.filter(|(node, _)| node.shares.is_none()).map(|(node, specs)| (node, specs.as_slice()))
    }

    /// Every parameter of the network with its declaration, in order of nodes; one that is shared stands once.
    pub fn parameters(&self) -> impl Iterator<Item = (ParameterId, &ParameterSpec)> {
        self.owners().flat_map(|(node, specs)| specs.iter().map(|spec| (node.parameter(spec.name), spec)))
    }

    /// The nodes that take this output, each with the index among its inputs; one that takes it twice stands twice.
    pub fn consumers(&self, id: &NodeId) -> Vec<(&Node, usize)> {
        let uses = |node| move |(index, input): (usize, &NodeId)| (input == id).then_some((node, index));
        self.nodes.iter().flat_map(|node| node.inputs.iter().enumerate().filter_map(uses(node))).collect()
    }

    /// How many trained numbers the network has (running statistics are not counted).
    pub fn parameter_count(&self) -> u64 {
        let specs = self.owners().flat_map(|(_, specs)| specs);
        specs.filter(|spec| spec.kind == ParameterKind::Trained).map(|spec| spec.elements() as u64).sum()
    }

    /// How many layers with weights the network has: nodes that produce channels (Linear, Conv2d).
    pub fn layer_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.op.produces_channels()).count()
    }

    /// Floating-point operations of one forward pass of one row.
    pub fn flops_per_row(&self) -> u64 {
        self.nodes.iter().map(|node| node.op.cost(&self.input_shapes(node)).flops).sum()
    }

    /// A short text for tables: the widths of the layers from input to output, for example `64-16-10`.
    pub fn summary(&self) -> String {
        let layers = self.nodes.iter().zip(self.shapes.iter()).filter(|(node, _)| node.op.produces_channels());
        let mut text = self.input.to_string();
        for (_, shape) in layers {
            text.push('-');
            text.push_str(&shape.channels().to_string());
        }
        text
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Network({}, {} parameters)", self.summary(), self.parameter_count())
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        NetworkDocument::from(self) == NetworkDocument::from(other)
    }
}

/// The stored form of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkDocument {
    input: Shape,
    nodes: Vec<NodeDocument>,
}

/// The stored form of a node: `{"id", "op", "inputs", "shares"?, …hyperparameters}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeDocument {
    pub(super) id: NodeId,
    op: String,
    inputs: Vec<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shares: Option<NodeId>,
    #[serde(flatten)]
    hyperparameters: Map<String, Value>,
}

impl NodeDocument {
    /// The node, if there is such an op with such hyperparameters.
    pub(super) fn read(self) -> Result<Node, NetworkError> {
        match ops::from_document(&self.op, &self.hyperparameters) {
            Ok(op) => Ok(Node { id: self.id, op, inputs: self.inputs, shares: self.shares }),
            Err(reason) => Err(NetworkError::Node { node: self.id, reason }),
        }
    }
}

impl From<&Network> for NetworkDocument {
    fn from(network: &Network) -> Self {
        let node = |node: &Node| NodeDocument {
            id: node.id.clone(),
            op: node.op.kind().to_owned(),
            inputs: node.inputs.clone(),
            shares: node.shares.clone(),
            hyperparameters: node.op.document(),
        };
        Self { input: network.input.clone(), nodes: network.nodes.iter().map(node).collect() }
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NetworkDocument::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let document = NetworkDocument::deserialize(deserializer)?;
        let nodes = document.nodes.into_iter().map(NodeDocument::read).collect::<Result<_, _>>();
        nodes.and_then(|nodes| Network::new(document.input, nodes)).map_err(D::Error::custom)
    }
}

fn fault(node: &Node, reason: String) -> NetworkError {
    NetworkError::Node { node: node.id.clone(), reason }
}

/// Whether a node may use the parameters of another: `shared` is that node with what it declares, if it stands earlier.
fn check_shared(
    node: &Node,
    declared: &[ParameterSpec],
    shared: Option<(&Node, &Vec<ParameterSpec>)>,
) -> Result<(), NetworkError> {
    let refuse = |reason: &str| Err(fault(node, format!("it shares the parameters of another node: {reason}")));
    let Some((owner, specs)) = shared else {
        return refuse("that must be an earlier one");
    };
    if owner.shares.is_some() {
        return refuse("that must have parameters of its own");
    }
    if owner.op.kind() != node.op.kind() || owner.op.document() != node.op.document() || specs != declared {
        return refuse("both must be of one op, with the same hyperparameters and shapes");
    }
    if declared.is_empty() {
        return refuse("its op has none");
    }
    if declared.iter().any(|spec| spec.kind == ParameterKind::Statistic) {
        return refuse("running statistics belong to one place in the network");
    }
    Ok(())
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), NetworkError> {
    if value > limit { Err(NetworkError::TooLarge { what, value, limit }) } else { Ok(()) }
}

fn check_axes(shape: &Shape, limits: &Limits) -> Result<(), NetworkError> {
    if shape.axes().is_empty() || shape.axes().contains(&0) {
        return Err(NetworkError::Graph(format!("a shape of {shape} has no elements")));
    }
    let elements = shape.axes().iter().try_fold(1u64, |all, &axis| all.checked_mul(axis as u64)).unwrap_or(u64::MAX);
    within("the number of elements of one row", elements, limits.elements)
}

#[cfg(test)]
mod tests;
