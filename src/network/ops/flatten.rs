//! Flatten: an image becomes a flat row; every channel becomes the block of its positions.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::Fields;
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// `[channels, height, width]` to `[channels * height * width]`; a flat row passes as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flatten;

impl Flatten {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        single(inputs).map(|input| Shape::flat(input.elements()))
    }

    fn channels(&self, inputs: &[Shape]) -> ChannelRelation {
        ChannelRelation::Expands { block: inputs[0].positions() }
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(input.inputs[0].flatten_from(1)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient = if input.needed[0] { Some(input.gradient.reshape(input.inputs[0].dims())?) } else { None };
        Ok(Backward { inputs: vec![gradient], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Flatten { place: inputs[0].place() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(batch.shape.elements()), values: batch.values.clone() }
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
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
            Trial::training(Flatten, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn a_channel_becomes_the_block_of_its_positions() {
        assert_eq!(Flatten.channels(&[Shape::image(3, 4, 5)]), ChannelRelation::Expands { block: 20 });
        assert_eq!(Flatten.channels(&[Shape::flat(7)]), ChannelRelation::Expands { block: 1 });
        assert_eq!(Flatten.output_shape(&[Shape::image(3, 4, 5)]), Ok(Shape::flat(60)));
    }
}
