//! Average pool: the mean of every window, windows without padding; they may overlap or leave rows over.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{Fields, pair, written};
use super::single_image;
use super::window::{Window, planes_of};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// The mean over windows of an image's planes; `[height, width]` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool {
    /// The size of a window.
    pub kernel: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
}

impl AvgPool {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["kernel", "stride"])?;
        let op = Self { kernel: fields.pair("kernel")?, stride: fields.pair("stride")? };
        op.window().check()?;
        Ok(Arc::new(op))
    }

    fn window(&self) -> Window {
        Window::plain(self.kernel, self.stride)
    }
}

impl Op for AvgPool {
    fn kind(&self) -> &'static str {
        "avg_pool"
    }

    fn document(&self) -> Map<String, Value> {
        written([("kernel", pair(self.kernel)), ("stride", pair(self.stride))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (channels, height, width) = single_image(inputs)?;
        let (height, width) = self.window().output_plane((height, width))?;
        Ok(Shape::image(channels, height, width))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let (rows, channels, height, width) = input.inputs[0].dims4()?;
        let window = self.window();
        let outputs = window.output_plane((height, width)).map_err(candle_core::Error::msg)?;
        let positions = window.positions_by_tap((height, width), input.inputs[0].device())?;
        let planes = planes_of(input.inputs[0])?;
        let mut sum = planes.index_select(&positions[0], 1)?;
        for position in &positions[1..] {
            sum = (sum + planes.index_select(position, 1)?)?;
        }
        let mean = (sum / window.taps() as f64)?;
        Ok(Forward::plain(mean.reshape((rows, channels, outputs.0, outputs.1))?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let (_, _, height, width) = input.inputs[0].dims4()?;
        let window = self.window();
        let share = (planes_of(input.gradient)? / window.taps() as f64)?;
        let sums = planes_of(&input.inputs[0].zeros_like()?)?;
        for position in window.positions_by_tap((height, width), share.device())? {
            sums.scatter_add_set(&position.broadcast_as(share.shape())?.contiguous()?, &share, 1)?;
        }
        let by_input = sums.reshape(input.inputs[0].dims())?;
        Ok(Backward { inputs: vec![Some(by_input)], parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let taps = self.window().taps() as f64;
        self.window().pool(input.inputs[0], |tapped| tapped.iter().fold(0.0, |sum, x| sum + x) / taps)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.window().pool_cost(&inputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, images};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(
            (shape, rows) in images(),
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..4),
            seed: u64,
        ) {
            let op = AvgPool { kernel, stride };
            prop_assume!(op.output_shape(std::slice::from_ref(&shape)).is_ok());
            Trial::training(op, &[shape], rows, seed).check();
        }
    }
}
