//! Random networks over every op: branches, concatenations, residual sums, gates, groups, blocks, one parameter used by two
//! nodes. A function of the seed; of odd sizes, small enough to be certified by the hundred.

use std::sync::Arc;

use super::id;
use crate::compute::random::{Purpose, Random};
use crate::network::ops::add::Add;
use crate::network::ops::avg_pool::AvgPool;
use crate::network::ops::batch_norm::BatchNorm;
use crate::network::ops::concat::Concat;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::depthwise_conv2d::DepthwiseConv2d;
use crate::network::ops::dropout::Dropout;
use crate::network::ops::embedding::Embedding;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::gelu::Gelu;
use crate::network::ops::global_avg_pool::GlobalAvgPool;
use crate::network::ops::group_norm::GroupNorm;
use crate::network::ops::grouped_conv2d::GroupedConv2d;
use crate::network::ops::layer_norm::LayerNorm;
use crate::network::ops::leaky_relu::LeakyRelu;
use crate::network::ops::linear::Linear;
use crate::network::ops::max_pool::MaxPool;
use crate::network::ops::maxout::Maxout;
use crate::network::ops::mul::Mul;
use crate::network::ops::prelu::Prelu;
use crate::network::ops::relu::Relu;
use crate::network::ops::rms_norm::RmsNorm;
use crate::network::ops::sigmoid::Sigmoid;
use crate::network::ops::silu::Silu;
use crate::network::ops::split::Split;
use crate::network::ops::tanh::Tanh;
use crate::network::{Network, Node, NodeId, Op, Shape};

/// Large for a norm's ε: with few channels a small one makes of rounding a difference.
const EPSILON: f64 = 0.05;

/// Whether a network may have dropout: then training mode draws masks, which copies do not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masks {
    None,
    Some,
}

/// The network of this seed.
pub fn graph(seed: u64, masks: Masks) -> Network {
    let random = Random::keyed(seed, Purpose::Demonstration, 1, "graph");
    let mut graph = Graph { random, nodes: Vec::new(), tensors: Vec::new() };
    let input = match graph.random.below(2) {
        0 => Shape::image(1 + graph.random.below(2), 5, 4),
        _ => Shape::flat(2 + graph.random.below(4)),
    };
    graph.tensors.push((NodeId::input(), input.clone()));
    let size = 4 + graph.random.below(10);
    while graph.nodes.len() < size {
        let (op, inputs) = graph.draw(masks);
        graph.put(op, inputs, None);
        if graph.random.below(5) == 0 {
            graph.share();
        }
    }
    graph.close(input)
}

struct Graph {
    random: Random,
    nodes: Vec<Node>,
    tensors: Vec<(NodeId, Shape)>,
}

impl Graph {
    /// A tensor: a late one more often than an early one, so that networks become deep.
    fn tensor(&mut self) -> (NodeId, Shape) {
        let count = self.tensors.len();
        let at = self.random.below(count).max(self.random.below(count));
        self.tensors[at].clone()
    }

    fn shape(&self, id: &NodeId) -> Shape {
        self.tensors.iter().find(|(name, _)| name == id).unwrap().1.clone()
    }

    fn put(&mut self, op: Arc<dyn Op>, inputs: Vec<NodeId>, shares: Option<NodeId>) {
        let name = id(&format!("n{}_{}", self.nodes.len(), op.kind()));
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.shape(id)).collect();
        self.tensors.push((name.clone(), op.output_shape(&shapes).unwrap()));
        self.nodes.push(Node { shares, ..Node::new(name, op, inputs) });
    }

    /// An op that fits what there is.
    fn draw(&mut self, masks: Masks) -> (Arc<dyn Op>, Vec<NodeId>) {
        let (from, shape) = self.tensor();
        let channels = shape.channels();
        match self.random.below(10) {
            0 | 1 => (self.activation(masks), vec![from]),
            2 => (self.norm(channels), vec![from]),
            3 => self.joined(from, &shape),
            4 if channels > 1 => {
                let start = self.random.below(channels);
                let end = start + 1 + self.random.below(channels - start);
                (Arc::new(Split { start, end }), vec![from])
            }
            _ => match shape.plane() {
                Some(plane) => (self.over_image(channels, plane), vec![from]),
                None => (self.over_row(), vec![from]),
            },
        }
    }

    fn activation(&mut self, masks: Masks) -> Arc<dyn Op> {
        match self.random.below(10) {
            0..=2 => Arc::new(Relu),
            3 => Arc::new(LeakyRelu { slope: 0.2 }),
            4 => Arc::new(Prelu),
            5 => Arc::new(Tanh),
            6 => Arc::new(Sigmoid),
            7 => Arc::new(Gelu),
            8 => Arc::new(Silu),
            _ if masks == Masks::Some => Arc::new(Dropout { probability: 0.3 }),
            _ => Arc::new(Relu),
        }
    }

    fn norm(&mut self, channels: usize) -> Arc<dyn Op> {
        match self.random.below(4) {
            0 => Arc::new(LayerNorm { epsilon: EPSILON }),
            1 => Arc::new(RmsNorm { epsilon: EPSILON }),
            2 => Arc::new(GroupNorm { groups: self.divisor(channels), epsilon: EPSILON }),
            _ => Arc::new(BatchNorm { epsilon: EPSILON, momentum: 0.1 }),
        }
    }

    /// Two tensors that fit together, one of which may be the other; a layer that makes them fit where they do not.
    fn joined(&mut self, from: NodeId, shape: &Shape) -> (Arc<dyn Op>, Vec<NodeId>) {
        let (other, other_shape) = self.tensor();
        let same_planes = shape.axes()[1..] == other_shape.axes()[1..];
        let kind = self.random.below(3);
        if kind == 0 && same_planes {
            let (from, other) = if self.random.below(3) == 0 { (from.clone(), from) } else { (from, other) };
            return (Arc::new(Concat), vec![from, other]);
        }
        let gates = shape.plane().is_some() && other_shape.plane().is_none();
        if kind == 1 && shape.channels() == other_shape.channels() && (same_planes || gates) {
            return (Arc::new(Mul), vec![from, other]);
        }
        if *shape == other_shape {
            return (Arc::new(Add), vec![from, other]);
        }
        match shape.plane() {
            None => (Arc::new(Linear { out: other_shape.channels() }), vec![from]),
            Some(_) => (Arc::new(Conv2d::same(other_shape.channels().min(6), [1, 1])), vec![from]),
        }
    }

    fn over_row(&mut self) -> Arc<dyn Op> {
        let out = self.width();
        match self.random.below(6) {
            0 => Arc::new(Maxout { out, pieces: 1 + self.random.below(3) }),
            1 => Arc::new(Embedding { out }),
            _ => Arc::new(Linear { out }),
        }
    }

    fn over_image(&mut self, channels: usize, plane: (usize, usize)) -> Arc<dyn Op> {
        let out = self.width();
        // A kernel of up to 3 that the plane and its padding hold.
        let kernel = [1 + self.random.below(plane.0.min(3)), 1 + self.random.below(plane.1.min(3))];
        let padding = [self.random.below(kernel[0]), self.random.below(kernel[1])];
        let stride = [1 + self.random.below(2), 1 + self.random.below(2)];
        let dilation = [1, 1];
        match self.random.below(10) {
            0 => Arc::new(MaxPool { kernel, stride, padding }),
            1 => Arc::new(AvgPool { kernel, stride, padding }),
            2 => Arc::new(DepthwiseConv2d { multiplier: 1 + self.random.below(2), kernel, stride, padding, dilation }),
            3 | 4 => {
                let groups = self.divisor(channels);
                Arc::new(GroupedConv2d {
                    out: groups * (1 + self.random.below(2)),
                    groups,
                    kernel,
                    stride,
                    padding,
                    dilation,
                })
            }
            5 => Arc::new(Flatten),
            6 => Arc::new(GlobalAvgPool),
            7 if plane.0 > 2 => Arc::new(Conv2d { out, kernel: [2, 1], stride, padding: [1, 0], dilation: [2, 1] }),
            8 => Arc::new(Conv2d { out, kernel, stride, padding, dilation }),
            _ => Arc::new(Conv2d::same(out, [3, 1])),
        }
    }

    fn width(&mut self) -> usize {
        1 + self.random.below(5)
    }

    fn divisor(&mut self, number: usize) -> usize {
        let divisors: Vec<usize> = (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).collect();
        divisors[self.random.below(divisors.len())]
    }

    /// Another node with the parameters of an earlier one, where a tensor fits.
    fn share(&mut self) {
        let fits = |node: &&Node| {
            let specs = node.op.parameters(&[self.shape(&node.inputs[0])]);
            let trained = |spec: &crate::network::ParameterSpec| spec.kind == crate::network::ParameterKind::Trained;
            node.shares.is_none() && !specs.is_empty() && specs.iter().all(trained)
        };
        let owners: Vec<Node> = self.nodes.iter().filter(|node| node.inputs.len() == 1).filter(fits).cloned().collect();
        let Some(owner) = owners.get(self.random.below(owners.len().max(1))) else {
            return;
        };
        let wanted = self.shape(&owner.inputs[0]);
        let fitting: Vec<NodeId> =
            self.tensors.iter().filter(|(_, shape)| *shape == wanted).map(|(name, _)| name.clone()).collect();
        let input = fitting[self.random.below(fitting.len())].clone();
        self.put(owner.op.clone(), vec![input], Some(owner.id.clone()));
    }

    /// Joins all that nothing uses into an output layer.
    fn close(mut self, input: Shape) -> Network {
        let used: Vec<NodeId> = self.nodes.iter().flat_map(|node| node.inputs.clone()).collect();
        let unused: Vec<(NodeId, Shape)> =
            self.tensors[1..].iter().filter(|(name, _)| !used.contains(name)).cloned().collect();
        let mut ends = Vec::new();
        for (name, shape) in unused {
            if shape.plane().is_none() {
                ends.push(name);
                continue;
            }
            self.put(Arc::new(Flatten), vec![name], None);
            ends.push(self.nodes.last().unwrap().id.clone());
        }
        self.nodes.push(Node::new(id("ends"), Arc::new(Concat), ends));
        self.nodes.push(Node::new(id("output"), Arc::new(Linear { out: 3 }), vec![id("ends")]));
        Network::new(input, self.nodes).unwrap()
    }
}

#[test]
fn the_random_networks_have_every_op_and_shared_parameters() {
    let networks: Vec<Network> = (0..300).map(|seed| graph(seed, Masks::Some)).collect();
    let nodes = || networks.iter().flat_map(|network| network.nodes());
    for kind in crate::network::ops::kinds() {
        assert!(nodes().filter(|node| node.op.kind() == kind).count() >= 10, "{kind}");
    }
    assert!(nodes().filter(|node| node.shares.is_some()).count() >= 30);
}
