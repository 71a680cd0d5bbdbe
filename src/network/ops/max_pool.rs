//! Max pool: the largest value of every window; windows may overlap, leave rows over or reach into padding, which never
//! wins.
//!
//! The gradient goes to the first maximum of a window in row-major order, and is added up where windows overlap.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{Fields, pool};
use super::single_image;
use super::window::{Window, planes_of};
use crate::compute::kernels::{Kernel, Pool, Pooled};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::shape::Shape;

/// The maximum over windows of an image's planes; `[height, width]` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool {
    /// The size of a window.
    pub kernel: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
    /// Positions on each side that belong to no plane, fewer than the kernel has.
    pub padding: [usize; 2],
}

impl MaxPool {
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
}

impl Op for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
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
        let (window, plane) = (self.window(), (height, width));
        let outputs = window.output_plane(plane).map_err(candle_core::Error::msg)?;
        // A window's first position stands for its padding: seen once more, it is never larger than itself.
        let first = |output| window.inside(output, plane).next().expect("no window lies in padding alone: `check`");
        let positions = window.seen_by_tap(plane, |output| first(output) as u32, input.inputs[0].device())?;
        let planes = planes_of(input.inputs[0])?;
        let training = matches!(input.mode, Mode::Train { .. });
        let mut best = planes.index_select(&positions[0], 1)?;
        let mut chosen = positions[0].broadcast_as(best.shape())?.contiguous()?;
        for position in &positions[1..] {
            let value = planes.index_select(position, 1)?;
            let larger = value.gt(&best)?;
            best = larger.where_cond(&value, &best)?;
            if training {
                chosen = larger.where_cond(&position.broadcast_as(best.shape())?, &chosen)?;
            }
        }
        let output = best.reshape((rows, channels, outputs.0, outputs.1))?;
        Ok(Forward { output, saved: if training { vec![chosen] } else { Vec::new() }, statistics: Vec::new() })
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let gradient = planes_of(input.gradient)?;
        let sums = planes_of(&input.inputs[0].zeros_like()?)?.scatter_add(&input.saved[0], &gradient, 1)?;
        let by_input = sums.reshape(input.inputs[0].dims())?;
        Ok(Backward { inputs: vec![Some(by_input)], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        let output = self.output_shape(inputs).ok()?.place();
        Some(Arc::new(Pool::new(inputs[0].place(), output, self.window().sliding(), Pooled::Largest)))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        self.window().pool(input.inputs[0], |tapped| tapped.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.window().pool_cost(&inputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
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
            let op = MaxPool { kernel, stride, padding };
            prop_assume!(op.output_shape(std::slice::from_ref(&shape)).is_ok());
            Trial::training(op, &[shape], rows, seed).check();
        }
    }

    fn gradient(op: &MaxPool, values: &[f64], dims: &[usize]) -> Vec<f64> {
        let batch = tensor(values, dims, Layout::Contiguous);
        let forward = forward(op, &[&batch], &[], Mode::Train { seed: 1, step: 1 });
        let gradient = forward.output.ones_like().unwrap();
        let input = BackwardInput {
            inputs: &[&batch],
            parameters: &[],
            output: &forward.output,
            saved: &forward.saved,
            gradient: &gradient,
            needed: &[true],
        };
        numbers(op.backward(input).unwrap().inputs[0].as_ref().unwrap())
    }

    #[test]
    fn the_whole_gradient_goes_to_the_first_maximum() {
        let op = MaxPool::unpadded([2, 2], [2, 2]);
        assert_eq!(gradient(&op, &[1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2]), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(gradient(&op, &[1.0, 2.0, 2.0, 2.0], &[1, 1, 2, 2]), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn overlapping_windows_add_their_gradients_and_left_over_rows_get_none() {
        let overlapping = MaxPool::unpadded([1, 2], [1, 1]);
        assert_eq!(gradient(&overlapping, &[1.0, 3.0, 2.0], &[1, 1, 1, 3]), [0.0, 2.0, 0.0]);
        let odd = MaxPool::unpadded([2, 2], [2, 2]);
        let rising: Vec<f64> = (0..25).map(f64::from).collect();
        let places: Vec<usize> = vec![6, 8, 16, 18];
        let expected: Vec<f64> = (0..25).map(|at| if places.contains(&at) { 1.0 } else { 0.0 }).collect();
        assert_eq!(gradient(&odd, &rising, &[1, 1, 5, 5]), expected);
    }

    #[test]
    fn padding_never_wins_and_takes_no_gradient() {
        let op = MaxPool { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
        let below: Vec<f64> = (1..=9).map(|value| -f64::from(value)).collect();
        let batch = tensor(&below, &[1, 1, 3, 3], Layout::Contiguous);
        assert_eq!(numbers(&forward(&op, &[&batch], &[], Mode::Evaluate).output), [-1.0, -2.0, -4.0, -5.0]);
        assert_eq!(gradient(&op, &below, &[1, 1, 3, 3]), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(gradient(&op, &[-1.0; 4], &[1, 1, 2, 2]), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn documents_without_padding_read_and_write_as_before() {
        let stored = json!({"kernel": [2, 2], "stride": [2, 2]});
        let read = MaxPool::read(stored.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(read.document()), stored);
        let padded = json!({"kernel": [3, 3], "stride": [2, 2], "padding": [1, 0]});
        let read = MaxPool::read(padded.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(read.document()), padded);
        let absurd = json!({"kernel": [3, 3], "stride": [2, 2], "padding": [3, 0]});
        assert!(MaxPool::read(absurd.as_object().unwrap()).unwrap_err().contains("padding"));
    }

    #[test]
    fn a_window_larger_than_the_plane_and_a_flat_row_are_refused() {
        let op = MaxPool::unpadded([3, 2], [1, 1]);
        assert_eq!(op.output_shape(&[Shape::image(2, 3, 2)]), Ok(Shape::image(2, 1, 1)));
        assert!(op.output_shape(&[Shape::image(2, 2, 9)]).is_err());
        assert!(op.output_shape(&[Shape::flat(9)]).is_err());
    }
}
