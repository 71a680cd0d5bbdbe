//! Named networks: from a short document to a graph. One file a kind.
//!
//! A document is checked before anything of its size is made: absurd ones are errors, not allocations. Learners are
//! created through here; from then on the graph itself is the document.

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::graph::{Network, NodeDocument};
use super::ops::linear::Linear;
use super::shape::Shape;
use draft::Draft;
pub use resnet::ResnetStyle;

mod cnn;
mod draft;
mod graph;
mod inception_bn;
mod mlp;
mod resnet;

/// The most hidden layers a document may ask for.
const MAX_LAYERS: usize = 1000;

/// What the learner's document says about its first network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NetworkSpec {
    /// Linear layers with ReLU between them: nodes `hidden1`, `hidden1_relu`, `hidden1_dropout` (if there is dropout),
    /// …, `output`; before them `flatten` where the input is an image.
    Mlp {
        /// The widths of the hidden layers; may be empty.
        #[serde(default = "default_hidden")]
        hidden: Vec<usize>,
        /// Dropout after every hidden activation; 0 for none.
        #[serde(default)]
        dropout: f64,
    },
    /// Convolutions 3x3 with BatchNorm and ReLU, each followed by a 2x2 max pool while the plane is large enough, then
    /// a global average pool and the output layer: nodes `conv1`, `conv1_norm`, `conv1_relu`, `conv1_pool`, …, `pool`,
    /// `output`.
    Cnn {
        /// The channels of the convolutions.
        #[serde(default = "default_channels")]
        channels: Vec<usize>,
    },
    /// A residual network for images (He et al. 2015, 2016): a 3x3 stem, stages of basic blocks, a global average pool
    /// and the output layer. Nodes `stem`, …, `stage1_block1_a`, `stage1_block1_b`, `stage1_block1_add`, …,
    /// `stage2_block1_project`, …, `pool`, `output`. `{"blocks": [3, 3, 3], "width": 16}` is ResNet-20.
    Resnet {
        /// How many blocks each stage has.
        #[serde(default = "default_blocks")]
        blocks: Vec<usize>,
        /// The channels of the stem and the first stage; every further stage has twice those of the one before.
        #[serde(default = "default_width")]
        width: usize,
        /// Where norms and activations stand.
        #[serde(default)]
        style: ResnetStyle,
    },
    /// A small Inception with BatchNorm for images (Net2Net §3.1): a 3x3 stem, modules of four branches with a 3x3 max
    /// pool after every second one while the plane is large enough, a global average pool and the output layer. Nodes
    /// `stem`, …, `module1_a`, `module1_b_reduce`, `module1_b_3x1`, `module1_b_1x3`, `module1_c_reduce`,
    /// `module1_c1_3x1`, …, `module1_d_pool`, `module1_d`, `module1`, …, `pool1`, …, `pool`, `output`.
    InceptionBn {
        /// How many modules.
        #[serde(default = "default_modules")]
        modules: usize,
        /// What the channels of all convolutions within modules are multiplied by, each rounded and at least 1; the
        /// stem stays as it is (§3.2).
        #[serde(default = "default_multiplier")]
        width: f64,
        /// The channels of the stem.
        #[serde(default = "default_stem")]
        stem: usize,
    },
    /// Any network, node by node in an order in which every input is earlier: `{"id", "op", "inputs",
    /// …hyperparameters}`. The last node is the output and gives a flat row of as many numbers as the task has outputs.
    Graph {
        /// The nodes.
        nodes: Vec<NodeDocument>,
    },
}

fn default_hidden() -> Vec<usize> {
    vec![16]
}

fn default_channels() -> Vec<usize> {
    vec![8, 16]
}

fn default_blocks() -> Vec<usize> {
    vec![1, 1, 1]
}

fn default_width() -> usize {
    16
}

fn default_modules() -> usize {
    4
}

fn default_multiplier() -> f64 {
    1.0
}

fn default_stem() -> usize {
    32
}

impl NetworkSpec {
    /// The network for inputs of `input` and `outputs` classes (1 for regression).
    ///
    /// # Errors A hyperparameter out of its range, a kind for images over inputs that are none, a `graph` with a node
    /// that does not fit or another number of outputs, and whatever is larger than [`super::graph::Limits`] allow.
    pub fn build(&self, input: &Shape, outputs: usize) -> Result<Network, NetworkError> {
        if outputs == 0 {
            return Err(NetworkError::Graph("a network needs at least one output".into()));
        }
        let mut draft = Draft::default();
        match self {
            Self::Mlp { hidden, dropout } => {
                check_widths("hidden", hidden)?;
                mlp::mlp(&mut draft, input, hidden, *dropout)?;
            }
            Self::Cnn { channels } => {
                check_widths("channels", channels)?;
                cnn::cnn(&mut draft, input, channels)?;
            }
            Self::Resnet { blocks, width, style } => resnet::resnet(&mut draft, input, (blocks, *width, *style))?,
            Self::InceptionBn { modules, width, stem } => {
                inception_bn::inception_bn(&mut draft, input, (*modules, *width, *stem))?;
            }
            Self::Graph { nodes } => return graph::graph(nodes, input, outputs),
        }
        draft.add("output", Linear { out: outputs });
        Network::new(input.clone(), draft.into_nodes())
    }

    /// Where in this document an error of [`NetworkSpec::build`] lies, as a JSON pointer: a node of a `graph`, or the
    /// whole.
    pub fn place_of(&self, error: &NetworkError) -> String {
        let place = match (self, error) {
            (Self::Graph { nodes }, NetworkError::Node { node, .. }) => nodes.iter().position(|one| one.id == *node),
            _ => None,
        };
        place.map(|index| format!("/nodes/{index}")).unwrap_or_default()
    }
}

/// Refuses lists of layers that are too long or have a 0.
fn check_widths(field: &str, widths: &[usize]) -> Result<(), NetworkError> {
    let (value, limit) = (widths.len() as u64, MAX_LAYERS as u64);
    if value > limit {
        return Err(NetworkError::TooLarge { what: "the number of layers", value, limit });
    }
    match widths.iter().position(|&width| width == 0) {
        Some(index) => Err(NetworkError::Graph(format!("number {} of `{field}` is 0; a layer has a width", index + 1))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
