//! ReLU: max(0, x), with gradient 0 at exactly 0 (candle's own has 1 there).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::Fields;
use super::single;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, FixedSet, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::shape::Shape;

/// The rectifier, on every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relu;

impl Relu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Relu {
    fn kind(&self) -> &'static str {
        "relu"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        single(inputs).cloned()
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn fixes(&self) -> FixedSet {
        FixedSet::NonNegative
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn output_is_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        // Unlike candle's `relu`, this maximum leaves NaN as it is: a fault stays visible to whoever looks for it.
        Ok(Forward::plain(input.inputs[0].maximum(0.0f32)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        // The sign of an output is 1 where the input was above 0, and else 0.
        let gradient = if input.needed[0] { Some((input.gradient * input.output.sign()?)?) } else { None };
        Ok(Backward { inputs: vec![gradient], parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let values = batch.values.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
        ReferenceBatch { rows: batch.rows, shape: batch.shape.clone(), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: inputs[0].elements() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
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

    #[test]
    fn not_a_number_stays_visible() {
        let batch = tensor(&[f64::NAN, 1.0], &[1, 2], Layout::Contiguous);
        let output = numbers(&forward(&Relu, &[&batch], &[], Mode::Evaluate).output);
        assert!(output[0].is_nan() && output[1] == 1.0);
    }
}
