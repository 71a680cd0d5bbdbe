//! The ops, one file each, and the table that reads them back from documents.
//!
//! Every op is its hyperparameters and nothing else. A new op is a file here and a line in [`READERS`]; growth,
//! the executor and the weights file learn all they need from its declarations.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::op::Op;
use super::shape::Shape;

mod across;
mod activation;
pub mod add;
pub mod avg_pool;
pub mod batch_norm;
mod by_channel;
mod columns;
pub mod concat;
pub mod conv2d;
pub mod depthwise_conv2d;
mod document;
pub mod dropout;
pub mod embedding;
pub mod flatten;
pub mod gelu;
pub mod global_avg_pool;
pub mod group_norm;
pub mod grouped_conv2d;
pub mod layer_norm;
pub mod leaky_relu;
pub mod linear;
pub mod max_pool;
pub mod maxout;
pub mod mul;
pub mod prelu;
pub mod relu;
pub mod rms_norm;
pub mod sigmoid;
pub mod silu;
pub mod split;
pub mod tanh;
mod window;

#[cfg(test)]
mod kernel_trial;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod tests;

/// Reads the hyperparameters of an op.
type Reader = fn(&Map<String, Value>) -> Result<Arc<dyn Op>, String>;

/// Every op by its kind.
const READERS: [(&str, Reader); 26] = [
    ("add", add::Add::read),
    ("avg_pool", avg_pool::AvgPool::read),
    ("batch_norm", batch_norm::BatchNorm::read),
    ("concat", concat::Concat::read),
    ("conv2d", conv2d::Conv2d::read),
    ("depthwise_conv2d", depthwise_conv2d::DepthwiseConv2d::read),
    ("dropout", dropout::Dropout::read),
    ("embedding", embedding::Embedding::read),
    ("flatten", flatten::Flatten::read),
    ("gelu", gelu::Gelu::read),
    ("global_avg_pool", global_avg_pool::GlobalAvgPool::read),
    ("group_norm", group_norm::GroupNorm::read),
    ("grouped_conv2d", grouped_conv2d::GroupedConv2d::read),
    ("layer_norm", layer_norm::LayerNorm::read),
    ("leaky_relu", leaky_relu::LeakyRelu::read),
    ("linear", linear::Linear::read),
    ("max_pool", max_pool::MaxPool::read),
    ("maxout", maxout::Maxout::read),
    ("mul", mul::Mul::read),
    ("prelu", prelu::Prelu::read),
    ("relu", relu::Relu::read),
    ("rms_norm", rms_norm::RmsNorm::read),
    ("sigmoid", sigmoid::Sigmoid::read),
    ("silu", silu::Silu::read),
    ("split", split::Split::read),
    ("tanh", tanh::Tanh::read),
];

/// The kinds of all ops, in order.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    READERS.iter().map(|(kind, _)| *kind)
}

/// Reads an op back from its kind and hyperparameters; says what is wrong with one that cannot be.
///
/// # Errors
/// An unknown kind; a hyperparameter that is unknown, missing, of the wrong type or out of range.
pub fn from_document(kind: &str, hyperparameters: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
    match READERS.iter().find(|(known, _)| *known == kind) {
        Some((_, read)) => read(hyperparameters),
        None => Err(format!("there is no op of this kind; there are {}", kinds().collect::<Vec<_>>().join(", "))),
    }
}

/// The shape that enters an op of one input.
fn single(inputs: &[Shape]) -> Result<&Shape, String> {
    match inputs {
        [input] => Ok(input),
        _ => Err(format!("takes one input, not {}", inputs.len())),
    }
}

/// Channels, height and width of the image that enters an op of one input.
fn single_image(inputs: &[Shape]) -> Result<(usize, usize, usize), String> {
    let input = single(inputs)?;
    match input.plane() {
        Some((height, width)) => Ok((input.channels(), height, width)),
        None => Err(format!("takes an image (channels x height x width), not {input}")),
    }
}
