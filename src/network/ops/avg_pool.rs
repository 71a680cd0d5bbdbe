//! Average pool: the mean of every window, windows without padding; they may overlap or leave rows over.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::document::{Fields, pair, written};
use super::single_image;
use super::window::{Window, planes_first, planes_last};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::ParameterSpec;
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

    fn parameters(&self, _: &[Shape]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    fn with_channels(&self, _: usize) -> Arc<dyn Op> {
        Arc::new(self.clone())
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let (rows, channels, height, width) = input.inputs[0].dims4()?;
        let window = self.window();
        let positions = window.positions_by_tap((height, width), input.inputs[0].device())?;
        let planes = planes_last(input.inputs[0])?;
        let mut sum = planes.index_select(&positions[0], 0)?;
        for position in &positions[1..] {
            sum = (sum + planes.index_select(position, 0)?)?;
        }
        let mean = (sum / window.taps() as f64)?;
        let (out_height, out_width) = window.output_plane((height, width)).map_err(candle_core::Error::msg)?;
        Ok(Forward::plain(planes_first(&mean, (rows, channels, out_height, out_width))?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let dims = input.inputs[0].dims4()?;
        let window = self.window();
        let share = (planes_last(input.gradient)? / window.taps() as f64)?;
        let mut sum = Tensor::zeros((dims.2 * dims.3, dims.0 * dims.1), share.dtype(), share.device())?;
        for position in window.positions_by_tap((dims.2, dims.3), share.device())? {
            sum = sum.index_add(&position, &share, 0)?;
        }
        Ok(Backward { inputs: vec![Some(planes_first(&sum, dims)?)], parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let taps = self.window().taps() as f64;
        self.window().pool(input.inputs[0], |tapped| tapped.iter().fold(0.0, |sum, x| sum + x) / taps)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.window().pool_cost(&inputs[0])
    }
}
