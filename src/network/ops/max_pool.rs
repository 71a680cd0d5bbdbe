//! Max pool: the largest value of every window, windows without padding; they may overlap or leave rows over.
//!
//! The gradient goes to the first maximum of a window in row-major order, and is added up where windows overlap.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::document::{Fields, pair, written};
use super::single_image;
use super::window::{Window, planes_first, planes_last};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::parameter::ParameterSpec;
use crate::network::shape::Shape;

/// The maximum over windows of an image's planes; `[height, width]` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool {
    /// The size of a window.
    pub kernel: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
}

impl MaxPool {
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

impl Op for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
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
        let plane = (height, width);
        let window = self.window();
        let positions = window.positions_by_tap(plane, input.inputs[0].device())?;
        let planes = planes_last(input.inputs[0])?;
        let training = matches!(input.mode, Mode::Train { .. });
        let mut best = planes.index_select(&positions[0], 0)?;
        let mut chosen = positions[0].unsqueeze(1)?.broadcast_as(best.shape())?.contiguous()?;
        for position in &positions[1..] {
            let value = planes.index_select(position, 0)?;
            let larger = value.gt(&best)?;
            best = larger.where_cond(&value, &best)?;
            if training {
                chosen = larger.where_cond(&position.unsqueeze(1)?.broadcast_as(best.shape())?, &chosen)?;
            }
        }
        let (out_height, out_width) = window.output_plane(plane).map_err(candle_core::Error::msg)?;
        let output = planes_first(&best, (rows, channels, out_height, out_width))?;
        Ok(Forward { output, saved: if training { vec![chosen] } else { Vec::new() }, statistics: Vec::new() })
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let dims = input.inputs[0].dims4()?;
        let gradient = planes_last(input.gradient)?;
        let zeros = Tensor::zeros((dims.2 * dims.3, dims.0 * dims.1), gradient.dtype(), gradient.device())?;
        let by_input = planes_first(&zeros.scatter_add(&input.saved[0], &gradient, 0)?, dims)?;
        Ok(Backward { inputs: vec![Some(by_input)], parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        self.window().pool(input.inputs[0], |tapped| tapped.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.window().pool_cost(&inputs[0])
    }
}
