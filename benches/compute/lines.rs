//! What is compared: five networks, each in a training step and in inference of 1 and 64 rows.
//!
//! `benches/peers/torch_networks.py` builds the same five; [`super::agreement`] holds both sides to it.

use std::fmt;
use std::sync::Arc;

use perennial::network::builders::{NetworkSpec, ResnetStyle};
use perennial::network::ops::batch_norm::BatchNorm;
use perennial::network::ops::conv2d::Conv2d;
use perennial::network::ops::global_avg_pool::GlobalAvgPool;
use perennial::network::ops::linear::Linear;
use perennial::network::ops::max_pool::MaxPool;
use perennial::network::ops::relu::Relu;
use perennial::network::{Network, NetworkError, Node, NodeId, Op, Shape};

/// How many classes every network tells apart.
pub const CLASSES: usize = 10;

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Forward, mean cross-entropy, backward, Adam.
    Train,
    /// Logits in evaluation mode.
    Infer,
}

impl Task {
    /// Its name in a request to the peer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }
}

/// A network under the name by which the peer knows it.
#[derive(Clone)]
pub struct Workload {
    pub name: &'static str,
    pub network: Network,
    /// The rows of a training step.
    pub train_rows: usize,
}

/// One line of the table.
#[derive(Clone)]
pub struct Line {
    pub workload: Workload,
    pub task: Task,
    pub rows: usize,
}

impl Line {
    /// The least throughput, as a multiple of the best peer's, that the project holds itself to.
    pub fn goal(&self) -> f64 {
        match (self.task, self.workload.name, self.rows) {
            (Task::Train, "mlp_small", _) => 8.0,
            (Task::Infer, _, 1) => 1.2,
            _ => 1.0,
        }
    }

    /// The network's floating-point operations in one call. A training step counts three forward passes: the gradient
    /// by the weights and the gradient by the input cost one each. (The first layer's input needs none, so a few are
    /// counted that nobody does.)
    pub fn flops(&self) -> f64 {
        let passes = if self.task == Task::Train { 3 } else { 1 };
        (passes * self.rows as u64 * self.workload.network.flops_per_row()) as f64
    }

    /// Whether the network takes images, which have a memory format.
    pub fn has_images(&self) -> bool {
        self.workload.network.input().plane().is_some()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.workload.name, self.task.name(), self.rows)
    }
}

/// The five networks.
pub fn workloads() -> Result<Vec<Workload>, NetworkError> {
    let mlp = |inputs, hidden: &[usize]| {
        NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout: 0.0 }.build(&Shape::flat(inputs), CLASSES)
    };
    let colours = Shape::image(3, 32, 32);
    let resnet20 = NetworkSpec::Resnet { blocks: vec![3; 3], width: 16, style: ResnetStyle::Post };
    let inception_bn = NetworkSpec::InceptionBn { modules: 4, width: 1.0, stem: 32 };
    Ok(vec![
        Workload { name: "mlp_large", network: mlp(784, &[512, 512])?, train_rows: 128 },
        Workload { name: "mlp_small", network: mlp(64, &[64])?, train_rows: 32 },
        Workload { name: "cnn", network: cnn()?, train_rows: 64 },
        Workload { name: "resnet20", network: resnet20.build(&colours, CLASSES)?, train_rows: 64 },
        Workload { name: "inception_bn", network: inception_bn.build(&colours, CLASSES)?, train_rows: 64 },
    ])
}

/// All lines: training of every network, then inference of single rows, then of batches.
pub fn lines(workloads: &[Workload]) -> Vec<Line> {
    let line = |task, rows: Option<usize>| {
        move |workload: &Workload| Line { workload: workload.clone(), task, rows: rows.unwrap_or(workload.train_rows) }
    };
    let train = workloads.iter().map(line(Task::Train, None));
    let single = workloads.iter().map(line(Task::Infer, Some(1)));
    train.chain(single).chain(workloads.iter().map(line(Task::Infer, Some(64)))).collect()
}

/// Three convolutions with one pool between the second and the third; the crate's own `cnn` pools behind each.
fn cnn() -> Result<Network, NetworkError> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut lay = |name: &str, op: Arc<dyn Op>| {
        let input = nodes.last().map_or_else(NodeId::input, |node| node.id.clone());
        nodes.push(Node::new(NodeId::parse(name).expect("letters, digits and `_`"), op, vec![input]));
    };
    for (name, out) in [("conv1", 32), ("conv2", 64), ("conv3", 128)] {
        if name == "conv3" {
            lay("conv2_pool", Arc::new(MaxPool::unpadded([2, 2], [2, 2])));
        }
        lay(name, Arc::new(Conv2d::same(out, [3, 3])));
        lay(&format!("{name}_norm"), Arc::new(BatchNorm::default()));
        lay(&format!("{name}_relu"), Arc::new(Relu));
    }
    lay("pool", Arc::new(GlobalAvgPool));
    lay("output", Arc::new(Linear { out: CLASSES }));
    Network::new(Shape::image(1, 28, 28), nodes)
}
