//! Named networks: from a short document to a graph.

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::graph::Network;
use super::shape::Shape;

/// What the learner's document says about its first network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NetworkSpec {
    /// Linear layers with ReLU between them: nodes `hidden1`, `hidden1_relu`, …, `output`.
    Mlp {
        /// The widths of the hidden layers; may be empty.
        #[serde(default = "default_hidden")]
        hidden: Vec<usize>,
        /// Dropout after every hidden activation; 0 for none.
        #[serde(default)]
        dropout: f64,
    },
    /// Convolutions 3x3 with BatchNorm and ReLU, each followed by a 2x2 max pool while the plane is large enough, then
    /// a global average pool and the output layer.
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
    pub fn build(&self, input: &Shape, outputs: usize) -> Result<Network, NetworkError> {
        let _ = (input, outputs);
        unimplemented!("helper A1")
    }
}
