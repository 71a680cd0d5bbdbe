//! The CPU's kernels: what a layer computes, by plain loops over slices, for any of the processor's vector widths.
//!
//! Values lie channels last: a row is `[height, width, channels]`, or `[features]` if it is flat, and rows follow each
//! other without gaps. Parameters lie as their tensors do (out channels first). Kernels know no networks, and give the
//! same bits whatever the number of threads: sums are taken in partials whose number depends on sizes alone. What a kernel
//! borrows while it runs, its thread keeps for the next. Each is held against the f64 reference of the layer that it
//! computes.

mod across;
mod activation;
mod add;
mod batch_norm;
mod channels;
mod convolution;
mod copy;
mod crew;
mod depthwise;
mod dropout;
mod embedding;
mod exp;
mod flatten;
mod kernel;
mod linear;
pub mod loss;
mod maxout;
mod mean;
mod mul;
mod panel;
mod plane;
mod pool;
mod prelu;
mod put;
mod rectifier;
mod scratch;
mod sites;
mod smooth;
mod strip;
#[cfg(test)]
mod tests;
mod tile;
mod window;
mod winograd;

pub use across::{Across, Measure};
pub use activation::{Everywhere, Function};
pub use add::Add;
pub use batch_norm::BatchNorm;
pub use channels::{Concat, Split};
pub use convolution::Convolution;
pub use copy::Copy;
pub use crew::{Crew, Shared};
pub use depthwise::Depthwise;
pub use dropout::{Dropout, Mask};
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use kernel::{Arrival, BackwardPass, Draw, ForwardPass, Kernel, Needs, Place};
pub use linear::Linear;
pub use maxout::Maxout;
pub use mean::GlobalAvgPool;
pub use mul::Mul;
pub use plane::{channels_first, channels_last};
pub use pool::{Pool, Pooled};
pub use prelu::Prelu;
pub use rectifier::Rectifier;
pub use scratch::kept_room;
pub use smooth::{Gelu, Sigmoid, Silu, Tanh};
pub use strip::Sliding;
