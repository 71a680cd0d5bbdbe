//! Average pool: the mean of every window; windows may overlap, leave rows over or reach into padding.
//!
//! The mean is over the positions inside the plane: padding is not counted.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::document::{Fields, pool};
use super::single_image;
use super::window::{NOWHERE, Window, grid, planes_of};
use crate::compute::kernels::{Kernel, Pool, Pooled};
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
    /// Positions on each side that belong to no plane, fewer than the kernel has.
    pub padding: [usize; 2],
}

impl AvgPool {
    /// A pool whose windows lie in the plane.
    pub fn unpadded(kernel: [usize; 2], stride: [usize; 2]) -> Self {
        Self { kernel, stride, padding: [0, 0] }
    }

    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::with_optional(document, &["kernel", "stride"], &["padding"])?;
        let op = Self {
            kernel: fields.pair("kernel")?,
            stride: fields.pair("stride")?,
            padding: fields.pair_or("padding", [0, 0])?,
        };
        op.window().check()?;
        Ok(Arc::new(op))
    }

    fn window(&self) -> Window {
        Window::dense(self.kernel, self.stride, self.padding)
    }

    /// What stands for every output, divided by how many of its taps lie inside the plane.
    fn divided(&self, outputs: &Tensor, plane: (usize, usize)) -> candle_core::Result<Tensor> {
        let window = self.window();
        if self.padding == [0, 0] {
            return outputs / window.taps() as f64;
        }
        let all = grid(window.output_plane(plane).map_err(candle_core::Error::msg)?);
        let counts = all.map(|output| window.inside(output, plane).count() as f32);
        outputs.broadcast_div(&Tensor::from_iter(counts, outputs.device())?)
    }
}

impl Op for AvgPool {
    fn kind(&self) -> &'static str {
        "avg_pool"
    }

    fn document(&self) -> Map<String, Value> {
        pool(self.kernel, self.stride, self.padding)
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
        let planes = planes_of(input.inputs[0])?;
        let positions = window.seen_by_tap((height, width), |_| NOWHERE, planes.device())?;
        let mut sum = planes.index_select(&positions[0], 1)?;
        for position in &positions[1..] {
            sum = (sum + planes.index_select(position, 1)?)?;
        }
        let mean = self.divided(&sum, (height, width))?;
        Ok(Forward::plain(mean.reshape((rows, channels, outputs.0, outputs.1))?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let (_, _, height, width) = input.inputs[0].dims4()?;
        let share = self.divided(&planes_of(input.gradient)?, (height, width))?;
        let outputs = self.window().seeing_by_tap((height, width), share.device())?;
        let mut sums = share.index_select(&outputs[0], 1)?;
        for output in &outputs[1..] {
            sums = (sums + share.index_select(output, 1)?)?;
        }
        let by_input = sums.reshape(input.inputs[0].dims())?;
        Ok(Backward { inputs: vec![Some(by_input)], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        let output = self.output_shape(inputs).ok()?.place();
        Some(Arc::new(Pool::new(inputs[0].place(), output, self.window().sliding(), Pooled::Mean)))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mean = |tapped: &[f64]| tapped.iter().fold(0.0, |sum, x| sum + x) / tapped.len() as f64;
        self.window().pool(input.inputs[0], mean)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.window().pool_cost(&inputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, forward, images, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(
            (shape, rows) in images(),
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..4),
            padding in prop::array::uniform2(0usize..3),
            seed: u64,
        ) {
            let padding = [padding[0].min(kernel[0] - 1), padding[1].min(kernel[1] - 1)];
            let op = AvgPool { kernel, stride, padding };
            prop_assume!(op.output_shape(std::slice::from_ref(&shape)).is_ok());
            Trial::training(op, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn padding_is_not_counted() {
        let op = AvgPool { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
        let batch = tensor(&[1.0, 2.0, 3.0, 6.0], &[1, 1, 2, 2], Layout::Contiguous);
        assert_eq!(numbers(&forward(&op, &[&batch], &[], Mode::Evaluate).output), [3.0; 4]);
        let ones = tensor(&[1.0; 40], &[2, 1, 4, 5], Layout::Contiguous);
        assert_eq!(numbers(&forward(&op, &[&ones], &[], Mode::Evaluate).output), [1.0; 40]);
    }
}
