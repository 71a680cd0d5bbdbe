//! Global average pool: the mean of every channel's plane, an image to a flat row of its channels.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::Fields;
use super::single_image;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// `[channels, height, width]` to `[channels]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalAvgPool;

impl GlobalAvgPool {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for GlobalAvgPool {
    fn kind(&self) -> &'static str {
        "global_avg_pool"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        single_image(inputs).map(|(channels, _, _)| Shape::flat(channels))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        // Sums over the last axes of a contiguous tensor are the ones that candle does with vectors.
        Ok(Forward::plain(input.inputs[0].contiguous()?.flatten_from(2)?.mean(2)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let (rows, channels, height, width) = input.inputs[0].dims4()?;
        let share = (input.gradient / (height * width) as f64)?.reshape((rows, channels, 1, 1))?;
        let gradient = share.broadcast_as((rows, channels, height, width))?.contiguous()?;
        Ok(Backward { inputs: vec![Some(gradient)], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::GlobalAvgPool { place: inputs[0].place() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let positions = batch.shape.positions();
        let mean = |plane: &[f64]| plane.iter().fold(0.0, |sum, x| sum + x) / positions as f64;
        let values = batch.values.chunks_exact(positions).map(mean).collect();
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(batch.shape.channels()), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: inputs[0].elements() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, images};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in images(), seed: u64) {
            Trial::training(GlobalAvgPool, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn an_image_becomes_its_channels_and_a_flat_row_is_refused() {
        assert_eq!(GlobalAvgPool.output_shape(&[Shape::image(3, 4, 5)]), Ok(Shape::flat(3)));
        assert!(GlobalAvgPool.output_shape(&[Shape::flat(7)]).is_err());
    }
}
