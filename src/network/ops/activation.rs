//! What the activations without parameters share: each is one function of a number, applied to every element.
//!
//! An op that says what an [`Activation`] asks for is an [`Op`] by that: shape and channels stay, every row's work is the
//! same for each element, and the gradient that arrives is multiplied by the slope. For the ops of this folder.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::single;
use crate::compute::kernels::Kernel;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, FixedSet, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::shape::Shape;

/// A function of one number that is at least 0 from 0 up, as all activations here are.
pub(super) trait Activation: Debug + Send + Sync + 'static {
    /// [`Op::kind`].
    const KIND: &'static str;

    /// Floating-point operations an element, a power of e (or erf) counted as one.
    const FLOPS: u64;

    /// [`Op::fixes`].
    const FIXES: FixedSet = FixedSet::Nothing;

    /// Whether its values are at least 0 everywhere.
    const NONNEGATIVE: bool = false;

    /// [`Op::rectifier`]; most are none.
    fn slope_below(&self) -> Option<f32> {
        None
    }

    /// [`Op::document`]; most have no hyperparameters.
    fn hyperparameters(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Refuses hyperparameters out of range.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The function on every element. What is not a number must stay so: a fault is to stay visible.
    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor>;

    /// The function's derivative at every element of `input`, of which `output` are the values.
    fn slope(&self, input: &Tensor, output: &Tensor) -> candle_core::Result<Tensor>;

    /// [`Op::kernel`].
    fn loops(&self) -> Arc<dyn Kernel>;

    /// The function in f64.
    fn number(&self, x: f64) -> f64;
}

impl<A: Activation> Op for A {
    fn kind(&self) -> &'static str {
        A::KIND
    }

    fn document(&self) -> Map<String, Value> {
        self.hyperparameters()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        single(inputs).cloned()
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn fixes(&self) -> FixedSet {
        A::FIXES
    }

    fn rectifier(&self) -> Option<f32> {
        self.slope_below()
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn output_is_nonnegative(&self) -> bool {
        A::NONNEGATIVE
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(self.apply(input.inputs[0])?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient =
            if input.needed[0] { Some((input.gradient * self.slope(input.inputs[0], input.output)?)?) } else { None };
        Ok(Backward { inputs: vec![gradient], parameters: Vec::new() })
    }

    fn kernel(&self, _: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(self.loops())
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let values = batch.values.iter().map(|&x| self.number(x)).collect();
        ReferenceBatch { rows: batch.rows, shape: batch.shape.clone(), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: A::FLOPS * inputs[0].elements() as u64 }
    }
}

/// 1 where an element is above 0, else 0.
pub(super) fn above_zero(input: &Tensor) -> candle_core::Result<Tensor> {
    input.gt(0.0f32)?.to_dtype(input.dtype())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::network::op::{BackwardInput, FixedSet, ForwardInput, Mode, Op};
    use crate::network::ops::from_document;
    use crate::network::ops::tests::{Layout, numbers, tensor};

    /// All activations; their one parameter, if they have it, is 1/4.
    const ACTIVATIONS: [&str; 7] = ["gelu", "leaky_relu", "prelu", "relu", "sigmoid", "silu", "tanh"];

    fn activation(kind: &str) -> Arc<dyn Op> {
        let document = if kind == "leaky_relu" { json!({"slope": 0.25}) } else { json!({}) };
        from_document(kind, document.as_object().unwrap()).unwrap()
    }

    /// The outputs for these inputs, and the gradients where 1 arrives everywhere.
    fn both_passes(op: &dyn Op, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let batch = tensor(values, &[values.len(), 1], Layout::Contiguous);
        let slope = tensor(&[0.25], &[1], Layout::Contiguous);
        let (inputs, parameters) = ([&batch], [&slope]);
        let input = ForwardInput {
            inputs: &inputs,
            parameters: &parameters,
            mode: Mode::Train { seed: 1, step: 1 },
            node: "n",
        };
        let forward = op.forward(input).unwrap();
        let gradient = batch.ones_like().unwrap();
        let input = BackwardInput {
            inputs: &inputs,
            parameters: &parameters,
            output: &forward.output,
            saved: &forward.saved,
            gradient: &gradient,
            needed: &[true],
        };
        let backward = op.backward(input).unwrap();
        (numbers(&forward.output), numbers(backward.inputs[0].as_ref().unwrap()))
    }

    fn grid() -> impl Iterator<Item = f64> {
        (0..=400).map(|step| f64::from(step) / 20.0)
    }

    #[test]
    fn large_inputs_saturate_without_overflow() {
        let large: Vec<f64> = (0..50).map(|step| 40.0 * 250f64.powf(f64::from(step) / 49.0)).collect();
        let small: Vec<f64> = large.iter().map(|x| -x).collect();
        // The limits of value (constant, and in multiples of x) and slope, first for large and then for small numbers.
        let limits = |kind: &str| match kind {
            "leaky_relu" | "prelu" => [(0.0, 1.0, 1.0), (0.0, 0.25, 0.25)],
            "sigmoid" => [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0)],
            "tanh" => [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)],
            _ => [(0.0, 1.0, 1.0), (0.0, 0.0, 0.0)],
        };
        for kind in ACTIVATIONS {
            for (inputs, (constant, times, slope)) in [&large, &small].into_iter().zip(limits(kind)) {
                let (outputs, gradients) = both_passes(&*activation(kind), inputs);
                for ((x, y), gradient) in inputs.iter().zip(outputs).zip(gradients) {
                    let expected = constant + times * x;
                    assert!((y - expected).abs() <= 1e-6 * x.abs(), "{kind}({x}) is {y}");
                    assert!((gradient - slope).abs() <= 1e-6, "the slope of {kind} at {x} is {gradient}");
                }
            }
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        for kind in ACTIVATIONS {
            let (outputs, _) = both_passes(&*activation(kind), &[f64::NAN, 1.0]);
            assert!(outputs[0].is_nan() && outputs[1].is_finite(), "{kind}: {outputs:?}");
        }
    }

    #[test]
    fn signs_are_as_declared() {
        for kind in ACTIVATIONS {
            let op = activation(kind);
            let above = both_passes(&*op, &grid().collect::<Vec<_>>()).0;
            assert_eq!(op.keeps_nonnegative(), above.iter().all(|&y| y >= 0.0), "{kind}");
            let below = both_passes(&*op, &grid().map(|x| -x).collect::<Vec<_>>()).0;
            assert_eq!(op.output_is_nonnegative(), below.iter().all(|&y| y >= 0.0), "{kind}");
        }
    }

    #[test]
    fn what_is_declared_to_be_left_alone_is_left_alone_exactly() {
        for kind in ACTIVATIONS {
            let op = activation(kind);
            let positive: Vec<f64> = grid().map(|x| f64::from(x as f32)).collect();
            let fixed = both_passes(&*op, &positive).0 == positive;
            // PReLU's slope is 1/4 here: only with 1 does it leave negative numbers alone.
            assert_eq!(fixed, op.fixes() != FixedSet::Nothing, "{kind}");
        }
    }
}
