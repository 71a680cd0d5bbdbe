//! A window that slides over a plane: the geometry that convolutions and pools share.
//!
//! Taps are the positions within the window and outputs the positions of the window, both in row-major order. For the
//! ops of this folder.

use candle_core::{Device, Tensor};

use crate::compute::kernels::Sliding;
use crate::network::op::{Cost, ReferenceBatch};
use crate::network::shape::Shape;

/// The largest kernel, stride and dilation of a window.
const MAX_SIDE: usize = 1024;

/// The most taps that all outputs of one plane may have together: what a pass looks up, and with it memory and time.
const MAX_TAPPED: usize = 1 << 26;

/// What stands for a place that there is not, among positions: candle's `index_select` gives zeros for it.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Height and width, of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Window {
    /// A window without gaps, as pools have it.
    pub(super) fn dense(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self { kernel, stride, padding, dilation: [1, 1] }
    }

    /// Says what is wrong with sizes that make no window.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, sides) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
                return Err(format!("`{name}` is from 1 to {MAX_SIDE} in height and width"));
            }
        }
        if (0..2).any(|axis| self.padding[axis] >= self.reach(axis)) {
            return Err("`padding` is smaller than what the kernel spans: no window lies in padding alone".into());
        }
        Ok(())
    }

    /// The plane of outputs over a plane of inputs, or why the window does not fit.
    pub(super) fn output_plane(&self, plane: (usize, usize)) -> Result<(usize, usize), String> {
        self.check()?;
        let side = |axis: usize, input: usize| {
            let span = (input + 2 * self.padding[axis]).checked_sub(self.reach(axis))?;
            Some(span / self.stride[axis] + 1)
        };
        let (Some(height), Some(width)) = (side(0, plane.0), side(1, plane.1)) else {
            return Err(format!("its window is larger than the plane of {} x {}", plane.0, plane.1));
        };
        if height.saturating_mul(width).saturating_mul(self.taps()) > MAX_TAPPED {
            return Err(format!("its windows see more than {MAX_TAPPED} positions together"));
        }
        Ok((height, width))
    }

    /// The same for kernels.
    pub(super) fn sliding(&self) -> Sliding {
        Sliding { kernel: self.kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    /// How many taps a window has.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Where a tap of an output lies in the plane of inputs, row-major; `None` in the padding.
    pub(super) fn input_position(
        &self,
        tap: (usize, usize),
        output: (usize, usize),
        plane: (usize, usize),
    ) -> Option<usize> {
        let at = |axis: usize, tap: usize, output: usize, side: usize| {
            let padded = output * self.stride[axis] + tap * self.dilation[axis];
            padded.checked_sub(self.padding[axis]).filter(|&position| position < side)
        };
        Some(at(0, tap.0, output.0, plane.0)? * plane.1 + at(1, tap.1, output.1, plane.1)?)
    }

    /// Which output sees a position of the plane of inputs with this tap, row-major in the plane of outputs; `None` where
    /// none does. The way back from [`Window::input_position`].
    pub(super) fn output_position(
        &self,
        tap: (usize, usize),
        input: (usize, usize),
        outputs: (usize, usize),
    ) -> Option<usize> {
        let at = |axis: usize, tap: usize, input: usize, side: usize| {
            let padded = (input + self.padding[axis]).checked_sub(tap * self.dilation[axis])?;
            let output = padded / self.stride[axis];
            (padded % self.stride[axis] == 0 && output < side).then_some(output)
        };
        Some(at(0, tap.0, input.0, outputs.0)? * outputs.1 + at(1, tap.1, input.1, outputs.1)?)
    }

    /// For every output the input positions of all its taps, [`NOWHERE`] in the padding: `[outputs * taps]`. For windows
    /// that fit the plane.
    pub(super) fn seen_by_output(&self, plane: (usize, usize), device: &Device) -> candle_core::Result<Tensor> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let taps = grid(outputs).flat_map(|output| self.taps_of().map(move |tap| (tap, output)));
        Tensor::from_iter(taps.map(|(tap, output)| place(self.input_position(tap, output, plane))), device)
    }

    /// For every input position the outputs that see it with each tap, [`NOWHERE`] where none does: `[inputs * taps]`.
    /// For windows that fit the plane.
    pub(super) fn seeing_by_input(&self, plane: (usize, usize), device: &Device) -> candle_core::Result<Tensor> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let taps = grid(plane).flat_map(|input| self.taps_of().map(move |tap| (tap, input)));
        Tensor::from_iter(taps.map(|(tap, input)| place(self.output_position(tap, input, outputs))), device)
    }

    /// For every tap the input positions of all outputs, `[outputs]` each; `outside` says for an output what stands for
    /// its padding. For windows that fit the plane.
    pub(super) fn seen_by_tap(
        &self,
        plane: (usize, usize),
        outside: impl Fn((usize, usize)) -> u32,
        device: &Device,
    ) -> candle_core::Result<Vec<Tensor>> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let position = |tap, output| match self.input_position(tap, output, plane) {
            Some(position) => position as u32,
            None => outside(output),
        };
        let all: Vec<u32> = self
            .taps_of()
            .flat_map(|tap| grid(outputs).map(move |output| (tap, output)))
            .map(|(tap, output)| position(tap, output))
            .collect();
        self.rows_by_tap(all, device)
    }

    /// For every tap the output that sees each input position with it, [`NOWHERE`] where none does: `[inputs]` each. For
    /// windows that fit the plane.
    pub(super) fn seeing_by_tap(&self, plane: (usize, usize), device: &Device) -> candle_core::Result<Vec<Tensor>> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let all = self.taps_of().flat_map(|tap| grid(plane).map(move |input| (tap, input)));
        self.rows_by_tap(all.map(|(tap, input)| place(self.output_position(tap, input, outputs))).collect(), device)
    }

    /// Goes to the device once for all taps.
    fn rows_by_tap(&self, all: Vec<u32>, device: &Device) -> candle_core::Result<Vec<Tensor>> {
        let (taps, length) = (self.taps(), all.len() / self.taps());
        let rows = Tensor::from_vec(all, (taps, length), device)?;
        (0..taps).map(|tap| rows.get(tap)).collect()
    }

    fn taps_of(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        grid((self.kernel[0], self.kernel[1]))
    }

    /// The input positions of an output's taps, in order, without those in the padding. For a window without gaps there
    /// is at least one: [`Window::check`] wants the padding smaller than the kernel.
    pub(super) fn inside(&self, output: (usize, usize), plane: (usize, usize)) -> impl Iterator<Item = usize> {
        self.taps_of().filter_map(move |tap| self.input_position(tap, output, plane))
    }

    /// A pool in f64: every window's values inside the plane, in order of taps, become one number. For windows that fit
    /// the plane.
    pub(super) fn pool(&self, batch: &ReferenceBatch, pooled: impl Fn(&[f64]) -> f64) -> ReferenceBatch {
        let plane = batch.shape.plane().expect("a pool's input is an image: `output_shape` refuses others");
        let (height, width) = self.output_plane(plane).expect("the window fits: `output_shape` refuses others");
        let mut values = Vec::with_capacity(batch.rows * batch.shape.channels() * height * width);
        let mut tapped = Vec::with_capacity(self.taps());
        for image in batch.values.chunks_exact(plane.0 * plane.1) {
            for output in grid((height, width)) {
                tapped.clear();
                tapped.extend(self.inside(output, plane).map(|position| image[position]));
                values.push(pooled(&tapped));
            }
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::image(batch.shape.channels(), height, width), values }
    }

    /// The cost of a pool over an image: one operation a tap.
    pub(super) fn pool_cost(&self, input: &Shape) -> Cost {
        let outputs = input.plane().and_then(|plane| self.output_plane(plane).ok()).map_or(0, |(h, w)| h * w);
        Cost { flops: (input.channels() * outputs) as u64 * self.taps() as u64 }
    }

    /// How many positions the kernel spans along an axis, gaps included.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}

/// Below [`NOWHERE`]: a network's limits bound the positions of one plane.
fn place(position: Option<usize>) -> u32 {
    position.map_or(NOWHERE, |position| position as u32)
}

/// The positions of a plane in row-major order.
pub(super) fn grid((height, width): (usize, usize)) -> impl Iterator<Item = (usize, usize)> + Clone + use<> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// `[rows, channels, height, width]` as `[rows * channels, height * width]`: what a pool runs over.
pub(super) fn planes_of(images: &Tensor) -> candle_core::Result<Tensor> {
    let (rows, channels, height, width) = images.dims4()?;
    images.reshape((rows * channels, height * width))?.contiguous()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn windows()(
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..4),
            padding in prop::array::uniform2(0usize..3),
            dilation in prop::array::uniform2(1usize..3),
        ) -> Window {
            Window { kernel, stride, padding, dilation }
        }
    }

    proptest! {
        #[test]
        fn an_output_sees_an_input_where_the_input_is_seen_by_the_output(window in windows(), plane in (1usize..7, 1usize..7)) {
            let Ok(outputs) = window.output_plane(plane) else { return Ok(()) };
            for tap in window.taps_of() {
                let index = |(y, x): (usize, usize), width: usize| y * width + x;
                for output in grid(outputs) {
                    for input in grid(plane) {
                        let seen = window.input_position(tap, output, plane) == Some(index(input, plane.1));
                        let sees = window.output_position(tap, input, outputs) == Some(index(output, outputs.1));
                        prop_assert_eq!(seen, sees, "{:?} {:?} {:?}", tap, output, input);
                    }
                }
            }
        }
    }

    #[test]
    fn nowhere_selects_zeros() {
        let numbers = Tensor::new(&[[1.0f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let places = Tensor::new(&[1u32, NOWHERE, 0], &Device::Cpu).unwrap();
        let selected: Vec<Vec<f32>> = numbers.index_select(&places, 1).unwrap().to_vec2().unwrap();
        assert_eq!(selected, [[2.0, 0.0, 1.0], [4.0, 0.0, 3.0]]);
    }
}
