//! Named networks: from a short document to a graph.
//!
//! A document is checked before anything of its size is made: absurd ones are errors, not allocations. Learners are
//! created through here; from then on the graph itself is the document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::graph::{Network, Node, NodeId};
use super::op::Op;
use super::ops::batch_norm::BatchNorm;
use super::ops::conv2d::Conv2d;
use super::ops::dropout::Dropout;
use super::ops::flatten::Flatten;
use super::ops::global_avg_pool::GlobalAvgPool;
use super::ops::linear::Linear;
use super::ops::max_pool::MaxPool;
use super::ops::relu::Relu;
use super::shape::Shape;

/// The most hidden layers a document may ask for.
const MAX_LAYERS: usize = 1000;

/// A plane is pooled while both its sides have at least this many positions, so that a convolution never runs over less
/// than 2 by 2.
const SMALLEST_POOLED_SIDE: usize = 4;

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
}

fn default_hidden() -> Vec<usize> {
    vec![16]
}

fn default_channels() -> Vec<usize> {
    vec![8, 16]
}

impl NetworkSpec {
    /// The network for inputs of `input` and `outputs` classes (1 for regression).
    ///
    /// # Errors
    /// A layer without width, too many layers, a dropout that is no probability below 1, a `cnn` over inputs that are no
    /// image, and whatever is larger than [`super::graph::Limits`] allow.
    pub fn build(&self, input: &Shape, outputs: usize) -> Result<Network, NetworkError> {
        if outputs == 0 {
            return Err(NetworkError::Graph("a network needs at least one output".into()));
        }
        let mut chain = Chain::default();
        match self {
            Self::Mlp { hidden, dropout } => {
                check_widths("hidden", hidden)?;
                mlp(&mut chain, input, hidden, *dropout)?;
            }
            Self::Cnn { channels } => {
                check_widths("channels", channels)?;
                cnn(&mut chain, input, channels)?;
            }
        }
        chain.add("output", Linear { out: outputs });
        Network::new(input.clone(), chain.nodes)
    }
}

fn mlp(chain: &mut Chain, input: &Shape, hidden: &[usize], dropout: f64) -> Result<(), NetworkError> {
    if !(0.0..1.0).contains(&dropout) {
        return Err(NetworkError::Graph("`dropout` is at least 0 and below 1".into()));
    }
    if input.axes().len() > 1 {
        chain.add("flatten", Flatten);
    }
    for (index, &width) in hidden.iter().enumerate() {
        let name = format!("hidden{}", index + 1);
        chain.add(&name, Linear { out: width });
        chain.add(&format!("{name}_relu"), Relu);
        if dropout > 0.0 {
            chain.add(&format!("{name}_dropout"), Dropout { probability: dropout });
        }
    }
    Ok(())
}

fn cnn(chain: &mut Chain, input: &Shape, channels: &[usize]) -> Result<(), NetworkError> {
    let Some((mut height, mut width)) = input.plane() else {
        return Err(NetworkError::Graph(
            "a `cnn` needs an image as its only input; for other inputs there is `mlp`".into(),
        ));
    };
    if channels.is_empty() {
        return Err(NetworkError::Graph("a `cnn` needs at least one convolution in `channels`".into()));
    }
    for (index, &out) in channels.iter().enumerate() {
        let name = format!("conv{}", index + 1);
        chain.add(&name, Conv2d::same(out, [3, 3]));
        chain.add(&format!("{name}_norm"), BatchNorm::default());
        chain.add(&format!("{name}_relu"), Relu);
        if height.min(width) >= SMALLEST_POOLED_SIDE {
            chain.add(&format!("{name}_pool"), MaxPool { kernel: [2, 2], stride: [2, 2] });
            (height, width) = (height / 2, width / 2);
        }
    }
    chain.add("pool", GlobalAvgPool);
    Ok(())
}

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

/// Nodes, each of which takes the one before it.
#[derive(Default)]
struct Chain {
    nodes: Vec<Node>,
}

impl Chain {
    fn add(&mut self, name: &str, op: impl Op) {
        let id = NodeId::parse(name).expect("the builders' names are letters, digits and `_`");
        let input = self.nodes.last().map_or_else(NodeId::input, |node| node.id.clone());
        self.nodes.push(Node::new(id, Arc::new(op), vec![input]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(network: &Network) -> Vec<&str> {
        network.nodes().iter().map(|node| node.id.as_str()).collect()
    }

    fn mlp(hidden: &[usize], dropout: f64) -> NetworkSpec {
        NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout }
    }

    fn cnn(channels: &[usize]) -> NetworkSpec {
        NetworkSpec::Cnn { channels: channels.to_vec() }
    }

    fn refusal(spec: &NetworkSpec, input: &Shape, outputs: usize) -> String {
        spec.build(input, outputs).unwrap_err().to_string()
    }

    #[test]
    fn an_mlp_has_its_documented_nodes() {
        let network = mlp(&[16, 8], 0.0).build(&Shape::flat(64), 10).unwrap();
        assert_eq!(ids(&network), ["hidden1", "hidden1_relu", "hidden2", "hidden2_relu", "output"]);
        assert_eq!(network.parameter_count(), (64 * 16 + 16) + (16 * 8 + 8) + (8 * 10 + 10));
        assert_eq!((network.layer_count(), network.summary().as_str()), (3, "64-16-8-10"));
    }

    #[test]
    fn an_mlp_over_an_image_flattens_it_and_dropout_follows_the_activation() {
        let network = mlp(&[4], 0.25).build(&Shape::image(1, 8, 8), 3).unwrap();
        assert_eq!(ids(&network), ["flatten", "hidden1", "hidden1_relu", "hidden1_dropout", "output"]);
        assert_eq!(ids(&mlp(&[], 0.5).build(&Shape::flat(2), 1).unwrap()), ["output"]);
    }

    #[test]
    fn a_cnn_pools_while_the_plane_is_large_enough() {
        let network = cnn(&[4, 8, 16]).build(&Shape::image(1, 8, 9), 10).unwrap();
        let expected = "conv1 conv1_norm conv1_relu conv1_pool conv2 conv2_norm conv2_relu conv2_pool \
                        conv3 conv3_norm conv3_relu pool output";
        assert_eq!(ids(&network).join(" "), expected);
        assert_eq!(network.output_shape(), &Shape::flat(10));
        assert!(cnn(&[2]).build(&Shape::image(3, 1, 1), 2).is_ok());
    }

    #[test]
    fn documents_read_with_their_defaults_and_unknown_keys_are_errors() {
        let read = serde_json::from_str::<NetworkSpec>;
        assert_eq!(read(r#"{"kind": "mlp"}"#).unwrap(), mlp(&[16], 0.0));
        assert_eq!(read(r#"{"kind": "cnn"}"#).unwrap(), cnn(&[8, 16]));
        assert!(read(r#"{"kind": "mlp", "width": 3}"#).is_err());
        assert!(read(r#"{"kind": "mlp", "hidden": [-1]}"#).is_err());
        assert!(read(r#"{"kind": "perceptron"}"#).is_err());
    }

    #[test]
    fn impossible_documents_are_refused_with_the_reason() {
        let flat = Shape::flat(4);
        assert!(refusal(&mlp(&[8, 0], 0.0), &flat, 2).contains("number 2 of `hidden`"));
        assert!(refusal(&mlp(&[8], 1.0), &flat, 2).contains("dropout"));
        assert!(refusal(&mlp(&[8], f64::NAN), &flat, 2).contains("dropout"));
        assert!(refusal(&mlp(&[8], 0.0), &flat, 0).contains("output"));
        assert!(refusal(&cnn(&[8]), &flat, 2).contains("image"));
        assert!(refusal(&cnn(&[]), &Shape::image(1, 8, 8), 2).contains("convolution"));
        assert!(refusal(&mlp(&vec![1; 1001], 0.0), &flat, 2).contains("limit of 1000"));
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        let absurd = [4_000_000_000, usize::MAX];
        for width in absurd {
            assert!(matches!(mlp(&[width], 0.0).build(&Shape::flat(4), 2), Err(NetworkError::TooLarge { .. })));
            assert!(matches!(cnn(&[width]).build(&Shape::image(1, 8, 8), 2), Err(NetworkError::TooLarge { .. })));
            assert!(matches!(mlp(&[4], 0.0).build(&Shape::flat(width), 2), Err(NetworkError::TooLarge { .. })));
            assert!(matches!(mlp(&[4], 0.0).build(&Shape::flat(4), width), Err(NetworkError::TooLarge { .. })));
            let image = Shape::image(width, width, width);
            assert!(matches!(mlp(&[4], 0.0).build(&image, 2), Err(NetworkError::TooLarge { .. })));
            assert!(matches!(cnn(&[4]).build(&image, 2), Err(NetworkError::TooLarge { .. })));
        }
        let wide = mlp(&[10_000_000; 1000], 0.0).build(&Shape::flat(16_000_000), 2);
        assert!(matches!(wide, Err(NetworkError::TooLarge { .. })));
    }
}
