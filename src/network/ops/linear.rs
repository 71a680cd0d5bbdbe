//! Linear: a fully connected layer, y = W x + b. Makes new channels and consumes those of its input.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use super::document::{Fields, written};
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::compute::precision::product;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// A fully connected layer over flat rows: `weight` `[out, in]` and `bias` `[out]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// How many output channels.
    pub out: usize,
}

impl Linear {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let op = Self { out: Fields::exactly(document, &["out"])?.size("out")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if self.out == 0 { Err("`out` is at least 1".into()) } else { Ok(()) }
    }
}

impl Op for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn document(&self) -> Map<String, Value> {
        written([("out", json!(self.out))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        match single(inputs)?.plane() {
            None => Ok(Shape::flat(self.out)),
            Some(_) => Err(format!("takes a flat row, not {}; `flatten` makes one of an image", inputs[0])),
        }
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Produces { channels: self.out }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let fan_in = inputs[0].channels();
        vec![
            ParameterSpec {
                name: "weight",
                dims: vec![self.out, fan_in],
                axes: vec![AxisRole::Out, AxisRole::In { input: 0 }],
                kind: ParameterKind::Trained,
                initial: Initial::HeNormal { fan_in },
            },
            ParameterSpec {
                name: "bias",
                dims: vec![self.out],
                axes: vec![AxisRole::Out],
                kind: ParameterKind::Trained,
                initial: Initial::Constant(0.0),
            },
        ]
    }

    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        input.plane().is_none().then(|| Arc::new(Self { out: input.channels() }) as _)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let (weight, bias) = (input.parameters[0], input.parameters[1]);
        Ok(Forward::plain(product(&input.inputs[0].contiguous()?, &weight.t()?)?.broadcast_add(bias)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient = input.gradient.contiguous()?;
        let by_input = if input.needed[0] { Some(product(&gradient, input.parameters[0])?) } else { None };
        let by_weight = product(&gradient.t()?, &input.inputs[0].contiguous()?)?;
        Ok(Backward { inputs: vec![by_input], parameters: vec![Some(by_weight), Some(column_sums(&gradient)?)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Linear::new(inputs[0].channels(), self.out)))
    }

    fn folds(&self) -> bool {
        true
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let (batch, weight, bias) = (input.inputs[0], input.parameters[0], input.parameters[1]);
        let width = batch.shape.channels();
        let mut values = Vec::with_capacity(batch.rows * self.out);
        for row in batch.values.chunks_exact(width) {
            for (weights, bias) in weight.chunks_exact(width).zip(bias) {
                values.push(row.iter().zip(weights).fold(0.0, |sum, (x, w)| sum + x * w) + bias);
            }
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(self.out), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        let (wide, out) = (inputs[0].channels() as u64, self.out as u64);
        Cost { flops: 2 * wide * out + out }
    }
}

/// The sums over the rows of `[rows, columns]`, as a product with ones: candle sums over a first axis one by one.
pub(super) fn column_sums(matrix: &Tensor) -> candle_core::Result<Tensor> {
    let ones = Tensor::ones((1, matrix.dim(0)?), matrix.dtype(), matrix.device())?;
    ones.matmul(matrix)?.squeeze(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::Trial;

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(out in 1usize..20, wide in 1usize..20, rows in 1usize..8, seed: u64) {
            Trial::training(Linear { out }, &[Shape::flat(wide)], rows, seed).check();
        }
    }

    #[test]
    fn inputs_that_are_not_one_flat_row_are_refused() {
        let op = Linear { out: 3 };
        assert_eq!(op.output_shape(&[Shape::flat(5)]), Ok(Shape::flat(3)));
        assert!(op.output_shape(&[Shape::image(1, 2, 2)]).unwrap_err().contains("flat"));
        assert!(op.output_shape(&[]).is_err());
        assert!(op.output_shape(&[Shape::flat(5), Shape::flat(5)]).is_err());
        assert!(Linear { out: 0 }.output_shape(&[Shape::flat(5)]).is_err());
    }

    #[test]
    fn the_cost_counts_a_multiply_add_as_two() {
        assert_eq!(Linear { out: 3 }.cost(&[Shape::flat(5)]).flops, 33);
    }
}
