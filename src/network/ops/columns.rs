//! Convolutions as products with the columns of their input (im2col): what all convolutions of this folder share.
//!
//! The columns hold the channels of every tap of every output side by side, a bounded number of rows at a time. The
//! groups of a grouped convolution are so many products; with one group nothing is moved for them. The gradient by the
//! images is such a product too, with the columns of the outputs that see an input: every sum is gathered by one product
//! and nothing is scattered, on any device.

use std::sync::Arc;

use candle_core::Tensor;

use super::linear::column_sums;
use super::window::{Window, grid};
use crate::compute::kernels::{self, Kernel};
use crate::compute::precision::product;
use crate::network::op::{BackwardInput, Cost, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// How many elements the columns of one product may have on the CPU, if one row does not already have more: 16 MiB.
const COLUMN_ELEMENTS: usize = 1 << 22;

/// The same on a GPU, which many small products would leave idle: 256 MiB.
const COLUMN_ELEMENTS_ON_GPU: usize = 1 << 26;

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
        let columns = self.columns(images)?;
        let matrices = columns.matrices(weight)?;
        let mut outputs = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let part = columns.of(&images.narrow(0, start, rows)?)?;
            let by_group = product(&part, &matrices.t()?)?;
            let sites = joined(&by_group)?.broadcast_add(bias)?;
            outputs.push(images_of(&sites, rows, columns.outputs)?);
        }
        Tensor::cat(&outputs, 0)
    }

    /// The backward pass; `weight` is the first parameter in the shape that this convolution takes.
    pub(super) fn backward(&self, input: &BackwardInput<'_>, weight: &Tensor) -> candle_core::Result<Gradients> {
        let images = input.inputs[0];
        let columns = self.columns(images)?;
        let back = if input.needed[0] { Some(columns.back(weight)?) } else { None };
        let mut by_matrices = columns.matrices(weight)?.zeros_like()?;
        let mut by_bias = input.parameters[1].zeros_like()?;
        let mut by_images = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let sites = sites_of(&input.gradient.narrow(0, start, rows)?)?;
            by_bias = (by_bias + column_sums(&sites)?)?;
            let part = columns.of(&images.narrow(0, start, rows)?)?;
            by_matrices = (by_matrices + product(&columns.split(&sites)?.t()?, &part)?)?;
            if let Some(back) = &back {
                by_images.push(columns.by_images(&sites, rows, back)?);
            }
        }
        let [height, width] = self.window.kernel;
        let by_tap = by_matrices.reshape((self.out, height, width, ()))?;
        let images = if back.is_some() { Some(Tensor::cat(&by_images, 0)?) } else { None };
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

    /// The geometry over a batch of these images.
    fn columns(&self, images: &Tensor) -> candle_core::Result<Columns> {
        let (_, channels, height, width) = images.dims4()?;
        let plane = (height, width);
        let outputs = self.window.output_plane(plane).map_err(candle_core::Error::msg)?;
        let seen = self.window.seen_by_output(plane, images.device())?;
        let elements = if images.device().is_cpu() { COLUMN_ELEMENTS } else { COLUMN_ELEMENTS_ON_GPU };
        Ok(Columns { window: self.window, groups: self.groups, channels, plane, outputs, seen, elements })
    }
}

/// The columns of a convolution's input and of its gradient: how they are cut out of images.
struct Columns {
    window: Window,
    groups: usize,
    channels: usize,
    plane: (usize, usize),
    outputs: (usize, usize),
    /// For every output the positions that its taps see.
    seen: Tensor,
    /// How many elements the columns of one product may have.
    elements: usize,
}

/// What the gradient by the images is made with.
struct Back {
    /// One matrix a group, `[groups, taps * out of a group, in of a group]`.
    matrices: Tensor,
    /// For every input position the outputs that see it with each tap.
    seeing: Tensor,
}

impl Columns {
    /// The rows of a batch in parts of bounded size: the first of each part and how many. Depends on shapes and the kind of
    /// device alone.
    fn parts(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let columns = self.outputs.0 * self.outputs.1 * self.window.taps();
        let largest = self.channels * columns.max(self.plane.0 * self.plane.1);
        let step = (self.elements / largest).clamp(1, rows.max(1));
        (0..rows).step_by(step).map(move |start| (start, step.min(rows - start)))
    }

    /// [out, in of a group, height, width] to one matrix a group, [groups, out of a group, taps * in of a group], in
    /// the order of the columns.
    fn matrices(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        let (out, seen, height, width) = weight.dims4()?;
        let by_tap = weight.permute((0, 2, 3, 1))?.contiguous()?;
        by_tap.reshape((self.groups, out / self.groups, height * width * seen))
    }

    /// See [`Back`].
    fn back(&self, weight: &Tensor) -> candle_core::Result<Back> {
        let (out, seen, height, width) = weight.dims4()?;
        let by_group = weight.reshape((self.groups, out / self.groups, seen, height * width))?;
        let matrices = by_group.permute((0, 3, 1, 2))?.contiguous()?.reshape((self.groups, (), seen))?;
        Ok(Back { matrices, seeing: self.window.seeing_by_input(self.plane, weight.device())? })
    }

    /// [rows, channels, height, width] to [groups, rows * outputs, taps * channels of a group].
    fn of(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.cut(&sites_by_row(images)?, &self.seen)
    }

    /// The gradient by `rows` images, given that by their outputs, [rows * outputs, out].
    fn by_images(&self, sites: &Tensor, rows: usize, back: &Back) -> candle_core::Result<Tensor> {
        let sites = sites.reshape((rows, self.outputs.0 * self.outputs.1, ()))?;
        let (positions, taps) = (self.plane.0 * self.plane.1, self.window.taps());
        // Of a strided convolution these columns are larger than those of its input, so they have a bound of their own.
        let step = (self.elements / (rows * taps * sites.dim(2)?)).clamp(1, positions);
        let mut parts = Vec::new();
        for start in (0..positions).step_by(step) {
            let count = step.min(positions - start);
            let columns = self.cut(&sites, &back.seeing.narrow(0, start * taps, count * taps)?)?;
            parts.push(joined(&product(&columns, &back.matrices)?)?.reshape((rows, count, self.channels))?);
        }
        images_of(&Tensor::cat(&parts, 1)?.flatten_to(1)?, rows, self.plane)
    }

    /// The channels of so many places for every tap, [rows, sites, channels] to [groups, rows * places, taps * channels of
    /// a group].
    fn cut(&self, sites: &Tensor, places: &Tensor) -> candle_core::Result<Tensor> {
        let (taps, channels) = (self.window.taps(), sites.dim(2)?);
        let columns = sites.index_select(places, 1)?.reshape(((), taps, self.groups, channels / self.groups))?;
        columns.permute((2, 0, 1, 3))?.contiguous()?.flatten_from(2)
    }

    /// [rows * outputs, out] to [groups, rows * outputs, out of a group].
    fn split(&self, sites: &Tensor) -> candle_core::Result<Tensor> {
        let (count, out) = sites.dims2()?;
        sites.reshape((count, self.groups, out / self.groups))?.transpose(0, 1)?.contiguous()
    }
}

/// The way back from [`Columns::split`].
fn joined(by_group: &Tensor) -> candle_core::Result<Tensor> {
    by_group.transpose(0, 1)?.contiguous()?.flatten_from(1)
}

/// [rows, channels, height, width] to [rows * height * width, channels].
pub(super) fn sites_of(images: &Tensor) -> candle_core::Result<Tensor> {
    sites_by_row(images)?.flatten_to(1)
}

/// [rows, channels, height, width] to [rows, height * width, channels].
pub(super) fn sites_by_row(images: &Tensor) -> candle_core::Result<Tensor> {
    images.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// The way back from [`sites_of`].
pub(super) fn images_of(sites: &Tensor, rows: usize, plane: (usize, usize)) -> candle_core::Result<Tensor> {
    sites.reshape((rows, plane.0, plane.1, sites.dim(1)?))?.permute((0, 3, 1, 2))?.contiguous()
}
