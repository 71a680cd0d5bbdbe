//! The most that this machine does, in floating-point operations a second: of a large square matrix product on either
//! side, and of bare multiply-adds.

use std::fmt;
use std::time::Instant;

use anyhow::Context;
use candle_core::{Device, Tensor};
use rayon::ThreadPool;
use serde_json::json;

use super::arithmetic;
use super::peer::Peer;
use super::wave;

/// The side of the matrices: three of them are larger than a core's cache, and the work outgrows all that is around it.
const SIDE: usize = 1536;

/// What bounds a line.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    /// Of our side's product: the `gemm` crate by way of candle.
    ours: f64,
    /// Of PyTorch's product.
    theirs: Option<f64>,
    /// Of multiply-adds within registers: no computation of this kind is faster.
    pub arithmetic: f64,
}

impl Peak {
    /// The faster of the two products.
    pub fn product(&self) -> f64 {
        self.theirs.map_or(self.ours, |theirs| theirs.max(self.ours))
    }

    /// Measures each for about so many seconds; the fastest call counts.
    pub fn measure(pool: &ThreadPool, peer: Option<&mut Peer>, seconds: f64) -> anyhow::Result<Self> {
        let ours = product(pool, seconds)?;
        let theirs = match peer {
            None => None,
            Some(peer) => {
                let answer = peer.ask(&json!({ "product": SIDE, "seconds": seconds }))?;
                Some(operations() / answer["fastest"].as_f64().context("the peer cannot multiply")?)
            }
        };
        Ok(Self { ours, theirs, arithmetic: arithmetic::measure(pool, seconds) })
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let giga = |operations: f64| format!("{:.0} GFLOP/s", operations / 1e9);
        write!(formatter, "a product of {SIDE} x {SIDE} matrices reaches {} on our side", giga(self.ours))?;
        if let Some(theirs) = self.theirs {
            write!(formatter, ", {} on PyTorch's", giga(theirs))?;
        }
        write!(formatter, "; bare multiply-adds {}", giga(self.arithmetic))
    }
}

/// The operations of one product.
fn operations() -> f64 {
    2.0 * (SIDE as f64).powi(3)
}

/// Operations a second of our fastest product, on the pool's threads.
fn product(pool: &ThreadPool, seconds: f64) -> candle_core::Result<f64> {
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
        Ok(operations() / fastest)
    })
}
