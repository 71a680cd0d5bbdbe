//! ReLU: max(0, x), with gradient 0 at exactly 0 (candle's own has 1 there).

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::Activation;
use super::document::Fields;
use crate::compute::kernels::{Everywhere, Kernel, Rectifier};
use crate::network::op::{FixedSet, Op};

/// The rectifier, on every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relu;

impl Relu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Activation for Relu {
    const KIND: &'static str = "relu";
    const FLOPS: u64 = 1;
    const FIXES: FixedSet = FixedSet::NonNegative;
    const NONNEGATIVE: bool = true;

    fn slope_below(&self) -> Option<f32> {
        Some(0.0)
    }

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        // Unlike candle's `relu`, this maximum leaves NaN as it is: a fault stays visible to whoever looks for it.
        input.maximum(0.0f32)
    }

    fn slope(&self, _: &Tensor, output: &Tensor) -> candle_core::Result<Tensor> {
        // The sign of an output is 1 where the input was above 0, and else 0.
        output.sign()
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(Rectifier { slope: 0.0 }))
    }

    fn number(&self, x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::{BackwardInput, Mode};
    use crate::network::ops::tests::{Layout, Trial, batches, forward, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), seed: u64) {
            Trial::training(Relu, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn the_gradient_is_0_at_exactly_0() {
        let batch = tensor(&[-1.0, 0.0, -0.0, 2.0], &[1, 4], Layout::Contiguous);
        let output = forward(&Relu, &[&batch], &[], Mode::Evaluate).output;
        let gradient = batch.ones_like().unwrap();
        let input = BackwardInput {
            inputs: &[&batch],
            parameters: &[],
            output: &output,
            saved: &[],
            gradient: &gradient,
            needed: &[true],
        };
        let backward = Relu.backward(input).unwrap();
        assert_eq!(numbers(backward.inputs[0].as_ref().unwrap()), [0.0, 0.0, 0.0, 1.0]);
    }
}
