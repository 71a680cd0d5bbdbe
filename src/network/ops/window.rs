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

    /// For every tap the input positions of all outputs; `outside` says for an output what stands for its padding. For
    /// windows that fit the plane.
    pub(super) fn positions_by_tap(
        &self,
        plane: (usize, usize),
        outside: impl Fn((usize, usize)) -> usize,
        device: &Device,
    ) -> candle_core::Result<Vec<Tensor>> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let taps = grid((self.kernel[0], self.kernel[1]));
        taps.map(|tap| {
            let position = |output| self.input_position(tap, output, plane).unwrap_or_else(|| outside(output));
            Tensor::from_iter(grid(outputs).map(|output| position(output) as u32), device)
        })
        .collect()
    }

    /// For every tap the sites of all outputs of `rows` planes, one plane after the other; the site after the last in
    /// the padding. For windows that fit the plane.
    pub(super) fn sites_by_tap(
        &self,
        rows: usize,
        plane: (usize, usize),
        device: &Device,
    ) -> candle_core::Result<Vec<Tensor>> {
        let outputs = self.output_plane(plane).map_err(candle_core::Error::msg)?;
        let sites = plane.0 * plane.1;
        let Ok(last) = u32::try_from(rows * sites) else {
            return Err(candle_core::Error::msg("a batch has more sites than can be counted"));
        };
        let taps = grid((self.kernel[0], self.kernel[1]));
        taps.map(|tap| {
            let one: Vec<Option<u32>> =
                grid(outputs).map(|output| self.input_position(tap, output, plane).map(|at| at as u32)).collect();
            let row = |row: usize| one.iter().map(move |at| at.map_or(last, |at| (row * sites) as u32 + at));
            let all: Vec<u32> = (0..rows).flat_map(row).collect();
            let count = all.len();
            Tensor::from_vec(all, count, device)
        })
        .collect()
    }

    /// The input positions of an output's taps, in order, without those in the padding. For a window without gaps there
    /// is at least one: [`Window::check`] wants the padding smaller than the kernel.
    pub(super) fn inside(&self, output: (usize, usize), plane: (usize, usize)) -> impl Iterator<Item = usize> {
        grid((self.kernel[0], self.kernel[1])).filter_map(move |tap| self.input_position(tap, output, plane))
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

/// The positions of a plane in row-major order.
pub(super) fn grid((height, width): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// `[rows, channels, height, width]` as `[rows * channels, height * width]`: what a pool runs over.
pub(super) fn planes_of(images: &Tensor) -> candle_core::Result<Tensor> {
    let (rows, channels, height, width) = images.dims4()?;
    images.reshape((rows * channels, height * width))?.contiguous()
}
