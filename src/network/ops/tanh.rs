//! Tanh: the hyperbolic tangent, from -1 to 1.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::Activation;
use super::document::Fields;
use crate::compute::kernels::{self, Everywhere, Kernel};
use crate::network::op::Op;

/// The hyperbolic tangent of every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tanh;

impl Tanh {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Activation for Tanh {
    const KIND: &'static str = "tanh";
    const FLOPS: u64 = 5;

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        input.tanh()
    }

    fn slope(&self, _: &Tensor, output: &Tensor) -> candle_core::Result<Tensor> {
        output.sqr()?.affine(-1.0, 1.0)
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(kernels::Tanh))
    }

    fn number(&self, x: f64) -> f64 {
        x.tanh()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), seed: u64) {
            Trial::training(Tanh, &[shape], rows, seed).check();
        }
    }
}
