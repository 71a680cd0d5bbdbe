//! LeakyReLU (Maas et al. 2013): x from 0 up, `slope` times x below, with the gradient `slope` at exactly 0.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use super::activation::{Activation, above_zero};
use super::document::{Fields, written};
use crate::compute::kernels::{Everywhere, Kernel, Rectifier};
use crate::network::op::{FixedSet, Op};

/// A rectifier that lets a part of negative numbers through, on every element of any shape.
#[derive(Debug, Clone, PartialEq)]
pub struct LeakyRelu {
    /// The slope below 0: at least 0, below 1.
    pub slope: f64,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        Self { slope: 0.01 }
    }
}

impl LeakyRelu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let op = Self { slope: Fields::exactly(document, &["slope"])?.number("slope")? };
        op.check()?;
        Ok(Arc::new(op))
    }
}

impl Activation for LeakyRelu {
    const KIND: &'static str = "leaky_relu";
    const FLOPS: u64 = 2;
    const FIXES: FixedSet = FixedSet::NonNegative;

    fn hyperparameters(&self) -> Map<String, Value> {
        written([("slope", json!(self.slope))])
    }

    fn check(&self) -> Result<(), String> {
        if (0.0..1.0).contains(&self.slope) { Ok(()) } else { Err("`slope` is at least 0 and below 1".into()) }
    }

    fn slope_below(&self) -> Option<f32> {
        Some(self.slope as f32)
    }

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        // With a slope below 1 the larger of the two is x exactly where x is at least 0.
        input.maximum(&(input * self.slope)?)
    }

    fn slope(&self, input: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        above_zero(input)?.maximum(self.slope as f32)
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(Rectifier { slope: self.slope as f32 }))
    }

    fn number(&self, x: f64) -> f64 {
        if x < 0.0 { self.slope * x } else { x }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};
    use crate::network::shape::Shape;

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), slope in 0.0..1.0, seed: u64) {
            Trial::training(LeakyRelu { slope }, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn slopes_that_bend_numbers_above_0_too_are_refused() {
        for slope in [1.0, -0.1, f64::NAN] {
            assert!(LeakyRelu { slope }.output_shape(&[Shape::flat(3)]).unwrap_err().contains("slope"));
        }
        assert_eq!(LeakyRelu { slope: 0.0 }.output_shape(&[Shape::flat(3)]), Ok(Shape::flat(3)));
    }
}
