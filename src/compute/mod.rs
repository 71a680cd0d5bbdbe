//! Tensors and how they are computed with: device, precision, thread pools, randomness, optimizers.
//!
//! Knows nothing of networks, learners or storage; anything may use it.

pub mod device;
pub mod finite;
pub mod kernels;
pub mod memory;
pub mod optimizer;
pub mod pool;
pub mod precision;
pub mod random;
pub mod tensor_file;
pub mod vectors;
