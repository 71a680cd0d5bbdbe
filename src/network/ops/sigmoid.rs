//! Sigmoid: 1 / (1 + exp(-x)), from 0 to 1: what a gate is made of.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::Activation;
use super::document::Fields;
use crate::compute::kernels::{self, Everywhere, Kernel};
use crate::network::op::Op;

/// The logistic function of every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sigmoid;

impl Sigmoid {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Activation for Sigmoid {
    const KIND: &'static str = "sigmoid";
    const FLOPS: u64 = 4;
    const NONNEGATIVE: bool = true;

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        logistic(input)
    }

    fn slope(&self, _: &Tensor, output: &Tensor) -> candle_core::Result<Tensor> {
        output * output.affine(-1.0, 1.0)?
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(kernels::Sigmoid))
    }

    fn number(&self, x: f64) -> f64 {
        logistic_number(x)
    }
}

/// The logistic function. The power of e overflows for small x, and its reciprocal is then the 0 that it should be.
pub(super) fn logistic(input: &Tensor) -> candle_core::Result<Tensor> {
    (input.neg()?.exp()? + 1.0)?.recip()
}

/// [`logistic`] in f64.
pub(super) fn logistic_number(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), seed: u64) {
            Trial::training(Sigmoid, &[shape], rows, seed).check();
        }
    }
}
