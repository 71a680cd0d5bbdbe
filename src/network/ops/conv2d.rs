//! Conv2d: a convolution over the planes of an image, of any kernel, stride, padding (with zeros) and dilation.
//!
//! Both passes are products with the columns of the input (im2col), a bounded number of rows at a time: the channels of
//! every tap of every output side by side.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use super::document::{Fields, pair, written};
use super::linear::column_sums;
use super::single_image;
use super::window::{Window, grid};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// How many elements the columns of one pass may have, if one row does not already have more: 16 MiB.
const COLUMN_ELEMENTS: usize = 1 << 22;

/// The most elements that the columns of one row may have: 1 GiB.
const MAX_COLUMN_ELEMENTS: usize = 1 << 28;

/// A convolution: `weight` `[out, in, kernel height, kernel width]` and `bias` `[out]`. Pairs are height and width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2d {
    /// How many output channels.
    pub out: usize,
    /// The size of the kernel.
    pub kernel: [usize; 2],
    /// From one output to the next.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// From one tap of the kernel to the next.
    pub dilation: [usize; 2],
}

impl Conv2d {
    /// Stride 1 and as much padding as keeps the plane's size. `kernel` is odd in both directions.
    pub fn same(out: usize, kernel: [usize; 2]) -> Self {
        Self { out, kernel, stride: [1, 1], padding: [kernel[0] / 2, kernel[1] / 2], dilation: [1, 1] }
    }

    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["out", "kernel", "stride", "padding", "dilation"])?;
        let op = Self {
            out: fields.size("out")?,
            kernel: fields.pair("kernel")?,
            stride: fields.pair("stride")?,
            padding: fields.pair("padding")?,
            dilation: fields.pair("dilation")?,
        };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if self.out == 0 {
            return Err("`out` is at least 1".into());
        }
        self.window().check()
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    /// The geometry over a batch of these dimensions.
    fn columns(&self, dims: (usize, usize, usize, usize)) -> candle_core::Result<Columns> {
        let (_, channels, height, width) = dims;
        let window = self.window();
        let outputs = window.output_plane((height, width)).map_err(candle_core::Error::msg)?;
        Ok(Columns { window, channels, plane: (height, width), outputs })
    }

    /// The weights as a matrix [out, taps * in], in the order of the columns.
    fn matrix(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        weight.permute((0, 2, 3, 1))?.contiguous()?.flatten_from(1)
    }
}

impl Op for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn document(&self) -> Map<String, Value> {
        written([
            ("out", json!(self.out)),
            ("kernel", pair(self.kernel)),
            ("stride", pair(self.stride)),
            ("padding", pair(self.padding)),
            ("dilation", pair(self.dilation)),
        ])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        let (channels, height, width) = single_image(inputs)?;
        let (height, width) = self.window().output_plane((height, width))?;
        if channels.saturating_mul(height * width * self.window().taps()) > MAX_COLUMN_ELEMENTS {
            return Err(format!("its kernels see more than {MAX_COLUMN_ELEMENTS} numbers of one row together"));
        }
        Ok(Shape::image(self.out, height, width))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Produces { channels: self.out }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let channels = inputs[0].channels();
        vec![
            ParameterSpec {
                name: "weight",
                dims: vec![self.out, channels, self.kernel[0], self.kernel[1]],
                axes: vec![AxisRole::Out, AxisRole::In { input: 0 }, AxisRole::Neither, AxisRole::Neither],
                kind: ParameterKind::Trained,
                initial: Initial::HeNormal { fan_in: channels * self.window().taps() },
            },
            ParameterSpec {
                name: "bias",
                dims: vec![self.out],
                axes: vec![AxisRole::Out],
                kind: ParameterKind::Trained,
                initial: Initial::Constant(0.0),
            },
        ]
    }

    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels, ..self.clone() }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    /// Of its own kernel where that is odd and sees more than one position (Net2Net §3.3 puts pairs of 3x1 and 1x3 behind
    /// such pairs), of 3x3 elsewhere.
    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        let own = self.kernel.iter().all(|side| side % 2 == 1) && self.kernel != [1, 1];
        let kernel = if own { self.kernel } else { [3, 3] };
        input.plane().map(|_| Arc::new(Self::same(input.channels(), kernel)) as _)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let images = input.inputs[0];
        let columns = self.columns(images.dims4()?)?;
        let matrix = self.matrix(input.parameters[0])?;
        let mut outputs = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let part = images.narrow(0, start, rows)?;
            let sites = columns.of(&part)?.matmul(&matrix.t()?)?.broadcast_add(input.parameters[1])?;
            outputs.push(images_of(&sites, rows, columns.outputs)?);
        }
        Ok(Forward::plain(Tensor::cat(&outputs, 0)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let images = input.inputs[0];
        let columns = self.columns(images.dims4()?)?;
        let matrix = self.matrix(input.parameters[0])?;
        let mut by_matrix = matrix.zeros_like()?;
        let mut by_bias = input.parameters[1].zeros_like()?;
        let mut by_images = Vec::new();
        for (start, rows) in columns.parts(images.dim(0)?) {
            let gradient = sites_of(&input.gradient.narrow(0, start, rows)?)?;
            let part = columns.of(&images.narrow(0, start, rows)?)?;
            by_matrix = (by_matrix + gradient.t()?.matmul(&part)?)?;
            by_bias = (by_bias + column_sums(&gradient)?)?;
            if input.needed[0] {
                by_images.push(columns.gathered(&gradient.matmul(&matrix)?, rows)?);
            }
        }
        let [height, width] = self.kernel;
        let by_weight = by_matrix.reshape((self.out, height, width, columns.channels))?.permute((0, 3, 1, 2))?;
        let by_input = if input.needed[0] { Some(Tensor::cat(&by_images, 0)?) } else { None };
        Ok(Backward { inputs: vec![by_input], parameters: vec![Some(by_weight.contiguous()?), Some(by_bias)] })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let (batch, weight, bias) = (input.inputs[0], input.parameters[0], input.parameters[1]);
        let plane = batch.shape.plane().expect("a convolution's input is an image: `output_shape` refuses others");
        let window = self.window();
        let (height, width) = window.output_plane(plane).expect("the kernel fits: `output_shape` refuses others");
        let (positions, taps) = (batch.shape.positions(), window.taps());
        // For every output the taps that lie in the plane, in order, and where: the same for all rows and channels.
        let inside: Vec<Vec<(usize, usize)>> = grid((height, width))
            .map(|output| {
                let at = |tap| window.input_position(tap, output, plane);
                grid((self.kernel[0], self.kernel[1]))
                    .map(at)
                    .enumerate()
                    .filter_map(|(tap, at)| Some((tap, at?)))
                    .collect()
            })
            .collect();
        let mut values = Vec::with_capacity(batch.rows * self.out * height * width);
        for image in batch.values.chunks_exact(batch.shape.elements()) {
            for (weights, bias) in weight.chunks_exact(batch.shape.channels() * taps).zip(bias) {
                for output in &inside {
                    let mut sum = 0.0;
                    for (channel, kernel) in image.chunks_exact(positions).zip(weights.chunks_exact(taps)) {
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

    fn cost(&self, inputs: &[Shape]) -> Cost {
        let Ok(output) = self.output_shape(inputs) else { return Cost::default() };
        let products = (inputs[0].channels() * self.window().taps()) as u64;
        Cost { flops: output.elements() as u64 * (2 * products + 1) }
    }
}

/// The columns of a convolution's input: how they are cut out of images and added up into images again.
struct Columns {
    window: Window,
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

    /// [rows, channels, height, width] to [rows * outputs, taps * channels].
    fn of(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let rows = images.dim(0)?;
        // One site more than the images have stands for the padding.
        let zero = Tensor::zeros((1, self.channels), images.dtype(), images.device())?;
        let sites = Tensor::cat(&[&sites_of(images)?, &zero], 0)?;
        let columns = sites.index_select(&self.positions(rows, images.device())?, 0)?;
        columns.reshape((rows * self.outputs.0 * self.outputs.1, self.window.taps() * self.channels))
    }

    /// The transpose of [`Columns::of`]: every image's site is the sum of what the columns hold of it.
    fn gathered(&self, columns: &Tensor, rows: usize) -> candle_core::Result<Tensor> {
        let sites = rows * self.plane.0 * self.plane.1;
        let by_tap = columns.reshape(((), self.channels))?;
        let zeros = Tensor::zeros((sites + 1, self.channels), columns.dtype(), columns.device())?;
        let sums = zeros.index_add(&self.positions(rows, columns.device())?, &by_tap, 0)?;
        images_of(&sums.narrow(0, 0, sites)?, rows, self.plane)
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
fn sites_of(images: &Tensor) -> candle_core::Result<Tensor> {
    let channels = images.dim(1)?;
    images.permute((0, 2, 3, 1))?.contiguous()?.reshape(((), channels))
}

/// The way back from [`sites_of`].
fn images_of(sites: &Tensor, rows: usize, plane: (usize, usize)) -> candle_core::Result<Tensor> {
    sites.reshape((rows, plane.0, plane.1, sites.dim(1)?))?.permute((0, 3, 1, 2))?.contiguous()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, forward, images, numbers, tensor};

    prop_compose! {
        fn convolutions()(
            out in 1usize..4,
            kernel in prop::array::uniform2(1usize..5),
            stride in prop::array::uniform2(1usize..4),
            padding in prop::array::uniform2(0usize..4),
            dilation in prop::array::uniform2(1usize..4),
        ) -> Conv2d {
            let most = |axis: usize| (kernel[axis] - 1) * dilation[axis];
            let padding = [padding[0].min(most(0)), padding[1].min(most(1))];
            Conv2d { out, kernel, stride, padding, dilation }
        }
    }

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in images(), op in convolutions(), seed: u64) {
            prop_assume!(op.output_shape(std::slice::from_ref(&shape)).is_ok());
            Trial::training(op, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn a_batch_in_several_parts_is_the_same_as_its_rows_one_by_one() {
        let op = Conv2d::same(2, [3, 3]);
        let columns = op.columns((9, 8, 100, 101)).unwrap();
        let parts: Vec<(usize, usize)> = columns.parts(9).collect();
        assert_eq!(parts, [(0, 5), (5, 4)]);
        let values = |count: usize| -> Vec<f64> { (0..count).map(|at| (at * 31 % 101) as f64 / 64.0).collect() };
        let batch = tensor(&values(9 * 8 * 100 * 101), &[9, 8, 100, 101], Layout::Contiguous);
        let weight = tensor(&values(2 * 8 * 9), &[2, 8, 3, 3], Layout::Contiguous);
        let bias = tensor(&[0.5, -0.5], &[2], Layout::Contiguous);
        let run = |batch: &Tensor| numbers(&forward(&op, &[batch], &[&weight, &bias], Mode::Evaluate).output);
        let single: Vec<f64> = (0..9).flat_map(|row| run(&batch.narrow(0, row, 1).unwrap())).collect();
        assert!(run(&batch).iter().zip(&single).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn same_keeps_the_plane_and_larger_kernels_than_it_are_refused() {
        let plane = Shape::image(3, 5, 4);
        assert_eq!(Conv2d::same(7, [3, 5]).output_shape(std::slice::from_ref(&plane)), Ok(Shape::image(7, 5, 4)));
        let large = Conv2d { padding: [0, 0], ..Conv2d::same(7, [3, 5]) };
        assert!(large.output_shape(&[plane]).unwrap_err().contains("larger"));
        assert!(Conv2d::same(7, [3, 3]).output_shape(&[Shape::flat(9)]).is_err());
        assert!(Conv2d::same(0, [3, 3]).output_shape(&[Shape::image(1, 3, 3)]).is_err());
    }

    #[test]
    fn windows_that_would_need_absurd_memory_are_refused() {
        let op = Conv2d { kernel: [1024, 1024], padding: [1023, 1023], ..Conv2d::same(1, [1, 1]) };
        assert!(op.output_shape(&[Shape::image(1, 1, 1)]).unwrap_err().contains("positions"));
        let deep = Conv2d::same(1, [63, 63]);
        assert!(deep.output_shape(&[Shape::image(1000, 100, 100)]).unwrap_err().contains("numbers of one row"));
    }

    #[test]
    fn the_cost_counts_a_multiply_add_as_two() {
        assert_eq!(Conv2d::same(7, [3, 3]).cost(&[Shape::image(2, 5, 4)]).flops, 7 * 20 * (2 * 2 * 9 + 1));
    }
}
