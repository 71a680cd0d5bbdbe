//! Depthwise Conv2d: every channel has kernels of its own and sees itself alone; a multiplier makes several of each.
//!
//! No product has anything to gain here: both passes go tap by tap, over all sites of all rows with the channels side
//! by side.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use super::columns::{Convolution, images_of, sites_by_row, sites_of};
use super::document::{Fields, pair, written};
use super::linear::column_sums;
use super::single_image;
use super::window::{NOWHERE, Window};
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// The largest multiplier.
const MAX_MULTIPLIER: usize = 1024;

/// A depthwise convolution: output channel `c * multiplier + m` is made of input channel `c` alone. `weight`
/// `[in * multiplier, kernel height, kernel width]` and `bias` `[in * multiplier]`. Pairs are height and width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// How many output channels each input channel makes.
    pub multiplier: usize,
    /// The size of the kernels.
    pub kernel: [usize; 2],
    /// From one output to the next.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// From one tap of a kernel to the next.
    pub dilation: [usize; 2],
}

impl DepthwiseConv2d {
    /// One output channel for every input channel, stride 1 and as much padding as keeps the plane's size. `kernel` is
    /// odd in both directions.
    pub fn same(kernel: [usize; 2]) -> Self {
        Self { multiplier: 1, kernel, stride: [1, 1], padding: [kernel[0] / 2, kernel[1] / 2], dilation: [1, 1] }
    }

    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["multiplier", "kernel", "stride", "padding", "dilation"])?;
        let op = Self {
            multiplier: fields.size("multiplier")?,
            kernel: fields.pair("kernel")?,
            stride: fields.pair("stride")?,
            padding: fields.pair("padding")?,
            dilation: fields.pair("dilation")?,
        };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_MULTIPLIER).contains(&self.multiplier) {
            return Err(format!("`multiplier` is from 1 to {MAX_MULTIPLIER}"));
        }
        self.window().check()
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    /// The same as a grouped convolution: every channel is a group.
    fn convolution(&self, channels: usize) -> Convolution {
        Convolution { out: channels * self.multiplier, groups: channels, window: self.window() }
    }

    /// For every tap and multiple the weights of all channels: `[in * multiplier, height, width]` to
    /// `[taps, multiplier, in]`.
    fn by_tap(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        let taps = self.window().taps();
        weight.reshape(((), self.multiplier, taps))?.permute((2, 1, 0))?.contiguous()
    }
}

impl Op for DepthwiseConv2d {
    fn kind(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn document(&self) -> Map<String, Value> {
        written([
            ("multiplier", json!(self.multiplier)),
            ("kernel", pair(self.kernel)),
            ("stride", pair(self.stride)),
            ("padding", pair(self.padding)),
            ("dilation", pair(self.dilation)),
        ])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        let image = single_image(inputs)?;
        self.convolution(image.0).output_shape(image)
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        match self.multiplier {
            1 => ChannelRelation::Carries,
            block => ChannelRelation::Expands { block },
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let out = inputs[0].channels() * self.multiplier;
        vec![
            ParameterSpec {
                name: "weight",
                dims: vec![out, self.kernel[0], self.kernel[1]],
                axes: vec![AxisRole::Out, AxisRole::Neither, AxisRole::Neither],
                kind: ParameterKind::Trained,
                initial: Initial::HeNormal { fan_in: self.window().taps() },
            },
            ParameterSpec {
                name: "bias",
                dims: vec![out],
                axes: vec![AxisRole::Out],
                kind: ParameterKind::Trained,
                initial: Initial::Constant(0.0),
            },
        ]
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let images = input.inputs[0];
        let (rows, channels, height, width) = images.dims4()?;
        let window = self.window();
        let outputs = window.output_plane((height, width)).map_err(candle_core::Error::msg)?;
        let (sites, kernels) = (sites_by_row(images)?, self.by_tap(input.parameters[0])?);
        let mut sums: Vec<Option<Tensor>> = vec![None; self.multiplier];
        let seen = window.seen_by_tap((height, width), |_| NOWHERE, images.device())?;
        for (tap, positions) in seen.iter().enumerate() {
            let (seen, kernels) = (sites.index_select(positions, 1)?, kernels.get(tap)?);
            for (multiple, sum) in sums.iter_mut().enumerate() {
                let product = seen.broadcast_mul(&kernels.get(multiple)?)?;
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + product)?,
                    None => product,
                });
            }
        }
        let sums: Vec<Tensor> = sums.into_iter().flatten().collect();
        let sites = Tensor::stack(&sums, 3)?.reshape(((), channels * self.multiplier))?;
        Ok(Forward::plain(images_of(&sites.broadcast_add(input.parameters[1])?, rows, outputs)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let images = input.inputs[0];
        let (rows, channels, height, width) = images.dims4()?;
        let (sites, kernels) = (sites_by_row(images)?, self.by_tap(input.parameters[0])?);
        let gradient = sites_of(input.gradient)?;
        let by_bias = column_sums(&gradient)?;
        let gradient = gradient.reshape((rows, (), channels, self.multiplier))?;
        let multiples = (0..self.multiplier).map(|multiple| gradient.narrow(3, multiple, 1)?.squeeze(3)?.contiguous());
        let multiples = multiples.collect::<candle_core::Result<Vec<Tensor>>>()?;
        let (window, plane) = (self.window(), (height, width));
        let mut by_kernels = Vec::new();
        for positions in window.seen_by_tap(plane, |_| NOWHERE, images.device())? {
            let seen = sites.index_select(&positions, 1)?;
            for gradient in &multiples {
                by_kernels.push(column_sums(&(&seen * gradient)?.flatten_to(1)?)?);
            }
        }
        let by_tap = Tensor::stack(&by_kernels, 0)?.reshape(((), self.multiplier, channels))?;
        let by_weight = by_tap.permute((2, 1, 0))?.contiguous()?.reshape(input.parameters[0].shape())?;
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: vec![Some(by_weight), Some(by_bias)] });
        }
        // What arrives at an input is gathered from the outputs that see it: no two sums meet in one place.
        let mut by_sites = sites.zeros_like()?;
        for (tap, outputs) in window.seeing_by_tap(plane, images.device())?.iter().enumerate() {
            let kernels = kernels.get(tap)?;
            for (multiple, gradient) in multiples.iter().enumerate() {
                let through = gradient.index_select(outputs, 1)?.broadcast_mul(&kernels.get(multiple)?)?;
                by_sites = (by_sites + through)?;
            }
        }
        let by_images = images_of(&by_sites.flatten_to(1)?, rows, plane)?;
        Ok(Backward { inputs: vec![Some(by_images)], parameters: vec![Some(by_weight), Some(by_bias)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        let output = self.output_shape(inputs).ok()?.place();
        Some(Arc::new(kernels::Depthwise::new(inputs[0].place(), output, self.window().sliding())))
    }

    fn folds(&self) -> bool {
        true
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        self.convolution(input.inputs[0].shape.channels()).reference(&input)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.convolution(inputs[0].channels()).cost(&inputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, forward, images, numbers, tensor};

    prop_compose! {
        fn convolutions()(
            multiplier in 1usize..4,
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..3),
            padding in prop::array::uniform2(0usize..3),
            dilation in prop::array::uniform2(1usize..3),
        ) -> DepthwiseConv2d {
            let most = |axis: usize| (kernel[axis] - 1) * dilation[axis];
            let padding = [padding[0].min(most(0)), padding[1].min(most(1))];
            DepthwiseConv2d { multiplier, kernel, stride, padding, dilation }
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
    fn a_channel_makes_a_block_of_its_own_and_sees_no_other() {
        let op = DepthwiseConv2d { multiplier: 2, ..DepthwiseConv2d::same([1, 1]) };
        let image = tensor(&[1.0, 10.0], &[1, 2, 1, 1], Layout::Contiguous);
        let weight = tensor(&[2.0, 3.0, 4.0, 5.0], &[4, 1, 1], Layout::Contiguous);
        let bias = tensor(&[0.5, 0.0, 0.0, 0.25], &[4], Layout::Contiguous);
        let output = forward(&op, &[&image], &[&weight, &bias], Mode::Evaluate).output;
        assert_eq!(numbers(&output), [2.5, 3.0, 40.0, 50.25]);
        assert_eq!(op.channels(&[Shape::image(2, 1, 1)]), ChannelRelation::Expands { block: 2 });
        assert_eq!(DepthwiseConv2d::same([3, 3]).channels(&[Shape::image(2, 1, 1)]), ChannelRelation::Carries);
    }

    #[test]
    fn multipliers_out_of_range_and_flat_rows_are_refused() {
        let op = |multiplier| DepthwiseConv2d { multiplier, ..DepthwiseConv2d::same([3, 3]) };
        assert_eq!(op(2).output_shape(&[Shape::image(3, 4, 5)]), Ok(Shape::image(6, 4, 5)));
        assert!(op(2).output_shape(&[Shape::flat(3)]).is_err());
        for multiplier in [0, 1025, usize::MAX] {
            assert!(op(multiplier).output_shape(&[Shape::image(3, 4, 5)]).unwrap_err().contains("multiplier"));
        }
    }

    #[test]
    fn the_cost_counts_the_taps_of_one_channel_alone() {
        let op = DepthwiseConv2d { multiplier: 2, ..DepthwiseConv2d::same([3, 3]) };
        assert_eq!(op.cost(&[Shape::image(3, 5, 4)]).flops, 6 * 20 * (2 * 9 + 1));
    }
}
