//! Concat: the channels of all inputs one after the other (the joining of an Inception module's branches).

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::document::Fields;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// Joins one or more inputs along the channels, in their order: flat rows of any widths, or images of one height and
/// width. One tensor may enter more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concat;

impl Concat {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Some(first) = inputs.first() else {
            return Err("takes one or more inputs, not 0".into());
        };
        match inputs.iter().find(|other| other.axes()[1..] != first.axes()[1..]) {
            Some(other) => Err(format!("its inputs differ in their channels alone, not {first} and {other}")),
            None => Ok(first.with_channels(inputs.iter().map(Shape::channels).sum())),
        }
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Concatenates
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        // Of strided tensors candle makes a strided concatenation.
        let parts: Vec<Tensor> = input.inputs.iter().map(|part| part.contiguous()).collect::<Result<_, _>>()?;
        Ok(Forward::plain(Tensor::cat(&parts, 1)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let mut start = 0;
        let mut inputs = Vec::with_capacity(input.inputs.len());
        for (part, &needed) in input.inputs.iter().zip(input.needed) {
            let channels = part.dim(1)?;
            let own = if needed { Some(input.gradient.narrow(1, start, channels)?.contiguous()?) } else { None };
            inputs.push(own);
            start += channels;
        }
        Ok(Backward { inputs, parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Concat { channels: inputs.iter().map(Shape::channels).collect() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let rows = input.inputs[0].rows;
        let mut values = Vec::with_capacity(input.inputs.iter().map(|part| part.values.len()).sum());
        for row in 0..rows {
            for part in input.inputs {
                let size = part.shape.elements();
                values.extend_from_slice(&part.values[row * size..(row + 1) * size]);
            }
        }
        let channels = input.inputs.iter().map(|part| part.shape.channels()).sum();
        ReferenceBatch { rows, shape: input.inputs[0].shape.with_channels(channels), values }
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
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
        fn both_passes_agree_with_the_reference(
            (shape, rows) in batches(),
            channels in proptest::collection::vec(1usize..6, 1..5),
            seed: u64,
        ) {
            let shapes: Vec<Shape> = channels.into_iter().map(|channels| shape.with_channels(channels)).collect();
            Trial::training(Concat, &shapes, rows, seed).check();
        }
    }

    #[test]
    fn inputs_stand_one_after_the_other_and_one_may_enter_twice() {
        let a = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2], Layout::Contiguous);
        let b = tensor(&[5.0, 6.0], &[2, 1], Layout::Contiguous);
        let output = forward(&Concat, &[&a, &b, &a], &[], Mode::Evaluate).output;
        assert_eq!(numbers(&output), [1.0, 2.0, 5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 3.0, 4.0]);
    }

    #[test]
    fn inputs_that_differ_in_more_than_channels_are_refused() {
        let image = Shape::image(2, 3, 4);
        assert_eq!(Concat.output_shape(&[image.clone(), Shape::image(5, 3, 4)]), Ok(Shape::image(7, 3, 4)));
        assert_eq!(Concat.output_shape(&[Shape::flat(2), Shape::flat(3)]), Ok(Shape::flat(5)));
        assert_eq!(Concat.output_shape(std::slice::from_ref(&image)), Ok(image.clone()));
        assert!(Concat.output_shape(&[image.clone(), Shape::image(2, 4, 3)]).is_err());
        assert!(Concat.output_shape(&[image, Shape::flat(2)]).is_err());
        assert!(Concat.output_shape(&[]).is_err());
    }
}
