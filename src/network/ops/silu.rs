//! SiLU, also called swish (Elfwing et al. 2018): x times the logistic function of x.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::Activation;
use super::document::Fields;
use super::sigmoid::{logistic, logistic_number};
use crate::compute::kernels::{self, Everywhere, Kernel};
use crate::network::op::Op;

/// The sigmoid-weighted linear unit of every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Silu;

impl Silu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Activation for Silu {
    const KIND: &'static str = "silu";
    const FLOPS: u64 = 5;

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        input.silu()
    }

    fn slope(&self, input: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        // s + x s (1 - s), as s (1 + x (1 - s)): for small x the product is 0 times something finite.
        let logistic = logistic(input)?;
        let inner = (input * logistic.affine(-1.0, 1.0)?)?;
        logistic * (inner + 1.0)?
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(kernels::Silu))
    }

    fn number(&self, x: f64) -> f64 {
        x * logistic_number(x)
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
            Trial::training(Silu, &[shape], rows, seed).check();
        }
    }
}
