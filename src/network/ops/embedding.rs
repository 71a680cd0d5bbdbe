//! Embedding: a table with a row of numbers for every category; a one-hot input takes its category's row, any other
//! input the sum of the rows weighted by it (a bag). A new category is a new row.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::document::{Fields, written};
use super::linear::Linear;
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::compute::precision::product;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// A table over flat rows: `weight` `[in, out]`, a row for every input; no bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// How many numbers each category has.
    pub out: usize,
}

impl Embedding {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let op = Self { out: Fields::exactly(document, &["out"])?.size("out")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if self.out == 0 { Err("`out` is at least 1".into()) } else { Ok(()) }
    }
}

impl Op for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
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
        vec![ParameterSpec {
            name: "weight",
            dims: vec![inputs[0].channels(), self.out],
            axes: vec![AxisRole::In { input: 0 }, AxisRole::Out],
            kind: ParameterKind::Trained,
            // Of a one-hot input one row counts, whatever their number: 2 of 2 is the unit variance.
            initial: Initial::HeNormal { fan_in: 2 },
        }]
    }

    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    /// A linear layer: behind a table there are no categories any more.
    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        Linear { out: self.out }.layer_like(input)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(product(&input.inputs[0].contiguous()?, input.parameters[0])?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient = input.gradient.contiguous()?;
        let by_input = if input.needed[0] { Some(product(&gradient, &input.parameters[0].t()?)?) } else { None };
        let by_weight = product(&input.inputs[0].contiguous()?.t()?, &gradient)?;
        Ok(Backward { inputs: vec![by_input], parameters: vec![Some(by_weight)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Embedding { inputs: inputs[0].channels(), out: self.out }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let (batch, weight) = (input.inputs[0], input.parameters[0]);
        let mut values = Vec::with_capacity(batch.rows * self.out);
        for row in batch.values.chunks_exact(batch.shape.channels()) {
            let column = |out: usize| weight.iter().skip(out).step_by(self.out);
            values.extend((0..self.out).map(|out| row.iter().zip(column(out)).fold(0.0, |sum, (x, w)| sum + x * w)));
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(self.out), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: 2 * inputs[0].channels() as u64 * self.out as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, forward, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(out in 1usize..12, wide in 1usize..12, rows in 1usize..6, seed: u64) {
            Trial::training(Embedding { out }, &[Shape::flat(wide)], rows, seed).check();
        }
    }

    #[test]
    fn a_one_hot_row_takes_its_category_and_a_bag_the_weighted_sum() {
        let op = Embedding { out: 2 };
        let table = tensor(&[1.0, 2.0, 10.0, 20.0, 100.0, 200.0], &[3, 2], Layout::Contiguous);
        let rows = tensor(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.5], &[2, 3], Layout::Contiguous);
        let output = forward(&op, &[&rows], &[&table], Mode::Evaluate).output;
        assert_eq!(numbers(&output), [10.0, 20.0, 51.0, 102.0]);
    }

    #[test]
    fn images_and_tables_without_columns_are_refused() {
        assert_eq!(Embedding { out: 3 }.output_shape(&[Shape::flat(5)]), Ok(Shape::flat(3)));
        assert!(Embedding { out: 3 }.output_shape(&[Shape::image(1, 2, 2)]).unwrap_err().contains("flat"));
        assert!(Embedding { out: 0 }.output_shape(&[Shape::flat(5)]).is_err());
    }

    #[test]
    fn the_cost_counts_a_multiply_add_as_two() {
        assert_eq!(Embedding { out: 3 }.cost(&[Shape::flat(5)]).flops, 30);
    }
}
