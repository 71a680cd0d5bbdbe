//! The CPU's kernels: what a layer computes, by plain loops over slices, for any of the processor's vector widths.
//!
//! Values lie channels last: a row is `[height, width, channels]`, or `[features]` if it is flat, and rows follow each
//! other without gaps. Parameters lie as their tensors do (out channels first). Kernels allocate nothing that lives longer
//! than a call, know no networks, and give the same bits whatever the number of threads: sums are taken in partials whose
//! number depends on sizes alone. Compiled into programs by [`crate::network::program`]; their meaning is that of the op
//! that names them, and they are held against its f64 reference.

pub mod activation;
mod convolution;
mod copy;
mod crew;
mod fused;
mod kernel;
mod linear;
mod panel;
pub mod plane;
mod put;
pub mod rectifier;
mod scratch;
mod strip;
mod tile;

pub use convolution::Convolution;
pub use copy::Copy;
pub use crew::{Crew, Shared};
pub use kernel::{Arrival, BackwardPass, Draw, ForwardPass, Kernel, Needs, Place};
pub use linear::Linear;
pub use plane::{channels_first, channels_last};
pub use strip::Sliding;
