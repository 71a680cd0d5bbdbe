//! The most that this machine does: floating-point operations a second of a large square matrix product.

use std::time::Instant;

use candle_core::{Device, Tensor};
use rayon::ThreadPool;

use super::wave;

/// The side of the matrices: three of them are larger than a core's cache, and the work outgrows all that is around it.
const SIDE: usize = 1536;

/// Operations a second of the fastest of the products done in about so many seconds, on the pool's threads. The `gemm`
/// crate does it, by way of candle.
pub fn measure(pool: &ThreadPool, seconds: f64) -> candle_core::Result<f64> {
    let matrix = |phase| {
        let values = wave::values(SIDE * SIDE, wave::Wave { speed: 0.7, phase });
        Tensor::from_vec(values, (SIDE, SIDE), &Device::Cpu)
    };
    let (left, right) = (matrix(0.0)?, matrix(1.0)?);
    pool.install(|| {
        let (start, mut fastest) = (Instant::now(), f64::INFINITY);
        while fastest.is_infinite() || start.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            left.matmul(&right)?;
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * (SIDE as f64).powi(3) / fastest)
    })
}
