//! Convolutions as products with the columns of their input (im2col): what all convolutions of this folder share.
//!
//! The columns hold the channels of every tap of every output side by side, a bounded number of rows at a time. The
//! groups of a grouped convolution are so many products; with one group nothing is moved for them.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::linear::column_sums;
use super::window::{Window, grid};
use crate::compute::kernels::{self, Kernel};
use crate::network::op::{BackwardInput, Cost, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// How many elements the columns of one pass may have, if one row does not already have more: 16 MiB.
const COLUMN_ELEMENTS: usize = 1 << 22;

/// The most elements that the columns of one row may have: 1 GiB.
const MAX_COLUMN_ELEMENTS: usize = 1 << 28;

/// A convolution of `out` channels in `groups` equal groups, each over the group of the input's channels at its place:
/// `weight` `[out, in / groups, kernel height, kernel width]` and `bias` `[out]`.
pub(super) struct Convolution {
    pub(super) out: usize,
    pub(super) groups: usize,
    pub(super) window: Window,
}

/// The gradients of a convolution: by its images, where those are needed, by its weight and by its bias.
pub(super) struct Gradients {
    pub(super) images: Option<Tensor>,
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Convolution {
    /// The output over an image of these channels, height and width, or why there is none. The groups must divide both
    /// numbers of channels.
    pub(super) fn output_shape(&self, (channels, height, width): (usize, usize, usize)) -> Result<Shape, String> {
        let (height, width) = self.window.output_plane((height, width))?;
        if channels.saturating_mul(height * width * self.window.taps()) > MAX_COLUMN_ELEMENTS {
            return Err(format!("its kernels see more than {MAX_COLUMN_ELEMENTS} numbers of one row together"));
        }
        Ok(Shape::image(self.out, height, width))
    }

    /// The same on plain slices, over images of a shape that fits.
    pub(super) fn kernel(&self, images: &Shape) -> Option<Arc<dyn Kernel>> {
        let plane = images.plane()?;
        let output = self.output_shape((images.channels(), plane.0, plane.1)).ok()?;
        let kernel = kernels::Convolution::new(images.place(), output.place(), self.groups, self.window.sliding());
        Some(Arc::new(kernel))
    }

    /// The forward pass.
    pub(super) fn forward(&self, images: &Tensor, weight: &Tensor, bias: &Tensor) -> candle_core::Result<Tensor> {
        let columns = self.columns(images.dims4()?)?;
        let matrices = columns.matrices(weight)?;
        let mut outputs = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let part = columns.of(&images.narrow(0, start, rows)?)?;
            let by_group = part.matmul(&matrices.t()?)?;
            let sites = columns.joined(&by_group)?.broadcast_add(bias)?;
            outputs.push(images_of(&sites, rows, columns.outputs)?);
        }
        Tensor::cat(&outputs, 0)
    }

    /// The backward pass; `weight` is the first parameter in the shape that this convolution takes.
    pub(super) fn backward(&self, input: &BackwardInput<'_>, weight: &Tensor) -> candle_core::Result<Gradients> {
        let images = input.inputs[0];
        let columns = self.columns(images.dims4()?)?;
        let matrices = columns.matrices(weight)?;
        let mut by_matrices = matrices.zeros_like()?;
        let mut by_bias = input.parameters[1].zeros_like()?;
        let mut by_images = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let gradient = sites_of(&input.gradient.narrow(0, start, rows)?)?;
            by_bias = (by_bias + column_sums(&gradient)?)?;
            let gradient = columns.split(&gradient)?;
            let part = columns.of(&images.narrow(0, start, rows)?)?;
            by_matrices = (by_matrices + gradient.t()?.matmul(&part)?)?;
            if input.needed[0] {
                by_images.push(columns.gathered(&gradient.matmul(&matrices)?, rows)?);
            }
        }
        let [height, width] = self.window.kernel;
        let by_tap = by_matrices.reshape((self.out, height, width, ()))?;
        let images = if input.needed[0] { Some(Tensor::cat(&by_images, 0)?) } else { None };
        Ok(Gradients { images, weight: by_tap.permute((0, 3, 1, 2))?.contiguous()?, bias: by_bias })
    }

    /// The forward pass in f64 with plain loops, sums in index order.
    pub(super) fn reference(&self, input: &ReferenceInput<'_>) -> ReferenceBatch {
        let (batch, weight, bias) = (input.inputs[0], input.parameters[0], input.parameters[1]);
        let plane = batch.shape.plane().expect("a convolution's input is an image: `output_shape` refuses others");
        let window = self.window;
        let (height, width) = window.output_plane(plane).expect("the kernel fits: `output_shape` refuses others");
        let (positions, taps) = (batch.shape.positions(), window.taps());
        let (own, seen) = (self.out / self.groups, batch.shape.channels() / self.groups);
        // For every output the taps that lie in the plane, in order, and where: the same for all rows and channels.
        let inside: Vec<Vec<(usize, usize)>> = grid((height, width))
            .map(|output| {
                let at = |tap| window.input_position(tap, output, plane);
                grid((window.kernel[0], window.kernel[1]))
                    .map(at)
                    .enumerate()
                    .filter_map(|(tap, at)| Some((tap, at?)))
                    .collect()
            })
            .collect();
        let mut values = Vec::with_capacity(batch.rows * self.out * height * width);
        for image in batch.values.chunks_exact(batch.shape.elements()) {
            for (out, (weights, bias)) in weight.chunks_exact(seen * taps).zip(bias).enumerate() {
                let group = &image[out / own * seen * positions..][..seen * positions];
                for output in &inside {
                    let mut sum = 0.0;
                    for (channel, kernel) in group.chunks_exact(positions).zip(weights.chunks_exact(taps)) {
                        for &(tap, at) in output {
                            sum += channel[at] * kernel[tap];
                        }
                    }
                    values.push(sum + bias);
                }
            }
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::image(self.out, height, width), values }
    }

    /// The cost over an image of this shape: a multiply-add of every tap and the bias.
    pub(super) fn cost(&self, input: &Shape) -> Cost {
        let outputs = input.plane().and_then(|plane| self.window.output_plane(plane).ok()).map_or(0, |(h, w)| h * w);
        let products = (input.channels() / self.groups * self.window.taps()) as u64;
        Cost { flops: (self.out * outputs) as u64 * (2 * products + 1) }
    }

    /// The geometry over a batch of these dimensions.
    fn columns(&self, dims: (usize, usize, usize, usize)) -> candle_core::Result<Columns> {
        let (_, channels, height, width) = dims;
        let outputs = self.window.output_plane((height, width)).map_err(candle_core::Error::msg)?;
        Ok(Columns { window: self.window, groups: self.groups, channels, plane: (height, width), outputs })
    }
}

/// The columns of a convolution's input: how they are cut out of images and added up into images again.
struct Columns {
    window: Window,
    groups: usize,
    channels: usize,
    plane: (usize, usize),
    outputs: (usize, usize),
}

impl Columns {
    /// The rows of a batch in parts of bounded size: the first of each part and how many. Depends on shapes alone.
    fn parts(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.outputs.0 * self.outputs.1 * self.window.taps();
        let largest = self.channels * columns.max(self.plane.0 * self.plane.1);
        let step = (COLUMN_ELEMENTS / largest).clamp(1, rows.max(1));
        (0..rows).step_by(step).map(move |start| (start, step.min(rows - start)))
    }

    /// [out, in of a group, height, width] to one matrix a group, [groups, out of a group, taps * in of a group], in
    /// the order of the columns.
    fn matrices(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        let (out, seen, height, width) = weight.dims4()?;
        let by_tap = weight.permute((0, 2, 3, 1))?.contiguous()?;
        by_tap.reshape((self.groups, out / self.groups, height * width * seen))
    }

    /// [rows, channels, height, width] to [groups, rows * outputs, taps * channels of a group].
    fn of(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let rows = images.dim(0)?;
        // One site more than the images have stands for the padding.
        let zero = Tensor::zeros((1, self.channels), images.dtype(), images.device())?;
        let sites = Tensor::cat(&[&sites_of(images)?, &zero], 0)?;
        let columns = sites.index_select(&self.positions(rows, images.device())?, 0)?;
        let seen = self.channels / self.groups;
        let columns =
            columns.reshape((rows * self.outputs.0 * self.outputs.1, self.window.taps(), self.groups, seen))?;
        columns.permute((2, 0, 1, 3))?.contiguous()?.flatten_from(2)
    }

    /// The transpose of [`Columns::of`]: every image's site is the sum of what the columns hold of it.
    fn gathered(&self, columns: &Tensor, rows: usize) -> candle_core::Result<Tensor> {
        let sites = rows * self.plane.0 * self.plane.1;
        let seen = self.channels / self.groups;
        let by_group =
            columns.reshape((self.groups, rows * self.outputs.0 * self.outputs.1, self.window.taps(), seen))?;
        let by_tap = by_group.permute((1, 2, 0, 3))?.contiguous()?.reshape(((), self.channels))?;
        let zeros = Tensor::zeros((sites + 1, self.channels), columns.dtype(), columns.device())?;
        let sums = zeros.index_add(&self.positions(rows, columns.device())?, &by_tap, 0)?;
        images_of(&sums.narrow(0, 0, sites)?, rows, self.plane)
    }

    /// [rows * outputs, out] to [groups, rows * outputs, out of a group].
    fn split(&self, sites: &Tensor) -> candle_core::Result<Tensor> {
        let (count, out) = sites.dims2()?;
        sites.reshape((count, self.groups, out / self.groups))?.transpose(0, 1)?.contiguous()
    }

    /// The way back from [`Columns::split`].
    fn joined(&self, by_group: &Tensor) -> candle_core::Result<Tensor> {
        by_group.transpose(0, 1)?.contiguous()?.flatten_from(1)
    }

    /// For every row, output and tap the site of the images it sees; the site after the last in the padding.
    fn positions(&self, rows: usize, device: &Device) -> candle_core::Result<Tensor> {
        let sites = self.plane.0 * self.plane.1;
        let kernel = (self.window.kernel[0], self.window.kernel[1]);
        let taps = grid(self.outputs).flat_map(|output| grid(kernel).map(move |tap| (tap, output)));
        // Below 2^32: `parts` bounds the sites of several rows, and a network's limits those of one.
        let one: Vec<Option<u32>> =
            taps.map(|(tap, output)| self.window.input_position(tap, output, self.plane).map(|at| at as u32)).collect();
        let mut all = Vec::with_capacity(rows * one.len());
        for row in 0..rows {
            let start = (row * sites) as u32;
            all.extend(one.iter().map(|position| position.map_or((rows * sites) as u32, |at| start + at)));
        }
        let count = all.len();
        Tensor::from_vec(all, count, device)
    }
}

/// [rows, channels, height, width] to [rows * height * width, channels].
pub(super) fn sites_of(images: &Tensor) -> candle_core::Result<Tensor> {
    let channels = images.dim(1)?;
    images.permute((0, 2, 3, 1))?.contiguous()?.reshape(((), channels))
}

/// The way back from [`sites_of`].
pub(super) fn images_of(sites: &Tensor, rows: usize, plane: (usize, usize)) -> candle_core::Result<Tensor> {
    sites.reshape((rows, plane.0, plane.1, sites.dim(1)?))?.permute((0, 3, 1, 2))?.contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tests::{Layout, numbers, tensor};

    fn values(count: usize) -> Vec<f64> {
        (0..count).map(|at| (at * 31 % 101) as f64 / 64.0).collect()
    }

    #[test]
    fn a_batch_in_several_parts_is_the_same_as_its_rows_one_by_one() {
        let window = Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] };
        for groups in [1, 2] {
            let convolution = Convolution { out: 2, groups, window };
            let columns = convolution.columns((9, 8, 100, 101)).unwrap();
            let parts: Vec<(usize, usize)> = columns.parts(9).collect();
            assert_eq!(parts, [(0, 5), (5, 4)]);
            let batch = tensor(&values(9 * 8 * 100 * 101), &[9, 8, 100, 101], Layout::Contiguous);
            let seen = 8 / groups;
            let weight = tensor(&values(2 * seen * 9), &[2, seen, 3, 3], Layout::Contiguous);
            let bias = tensor(&[0.5, -0.5], &[2], Layout::Contiguous);
            let run = |batch: &Tensor| numbers(&convolution.forward(batch, &weight, &bias).unwrap());
            let single: Vec<f64> = (0..9).flat_map(|row| run(&batch.narrow(0, row, 1).unwrap())).collect();
            assert!(run(&batch).iter().zip(&single).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }

    #[test]
    fn with_one_group_nothing_is_moved_for_the_groups() {
        let sites = tensor(&values(12), &[1, 4, 3], Layout::Contiguous);
        assert!(sites.transpose(0, 1).unwrap().is_contiguous());
        let columns = tensor(&values(24), &[4, 2, 1, 3], Layout::Contiguous);
        assert!(columns.permute((2, 0, 1, 3)).unwrap().is_contiguous());
    }
}
