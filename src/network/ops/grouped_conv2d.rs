//! Grouped Conv2d: so many convolutions side by side, each from a group of the input's channels to a group of the
//! output's.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::columns::Convolution;
use super::conv2d::Conv2d;
use super::document::{Fields, pair, written};
use super::single_image;
use super::window::Window;
use crate::compute::kernels::Kernel;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// A grouped convolution: `weight` `[out, in / groups, kernel height, kernel width]` and `bias` `[out]`; the groups
/// divide both numbers of channels (Krizhevsky et al. 2012, Xie et al. 2017). Pairs are height and width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupedConv2d {
    /// How many output channels, over all groups.
    pub out: usize,
    /// How many groups.
    pub groups: usize,
    /// The size of the kernels.
    pub kernel: [usize; 2],
    /// From one output to the next.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// From one tap of a kernel to the next.
    pub dilation: [usize; 2],
}

impl GroupedConv2d {
    /// Stride 1 and as much padding as keeps the plane's size. `kernel` is odd in both directions.
    pub fn same(out: usize, groups: usize, kernel: [usize; 2]) -> Self {
        let padding = [kernel[0] / 2, kernel[1] / 2];
        Self { out, groups, kernel, stride: [1, 1], padding, dilation: [1, 1] }
    }

    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["out", "groups", "kernel", "stride", "padding", "dilation"])?;
        let op = Self {
            out: fields.size("out")?,
            groups: fields.size("groups")?,
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
        if self.groups == 0 {
            return Err("`groups` is at least 1".into());
        }
        if !self.out.is_multiple_of(self.groups) {
            return Err(format!("its {} output channels do not fall into {} equal `groups`", self.out, self.groups));
        }
        self.window().check()
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    fn convolution(&self) -> Convolution {
        Convolution { out: self.out, groups: self.groups, window: self.window() }
    }
}

impl Op for GroupedConv2d {
    fn kind(&self) -> &'static str {
        "grouped_conv2d"
    }

    fn document(&self) -> Map<String, Value> {
        written([
            ("out", json!(self.out)),
            ("groups", json!(self.groups)),
            ("kernel", pair(self.kernel)),
            ("stride", pair(self.stride)),
            ("padding", pair(self.padding)),
            ("dilation", pair(self.dilation)),
        ])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        let image = single_image(inputs)?;
        if !image.0.is_multiple_of(self.groups) {
            return Err(format!("the {} channels it takes do not fall into {} equal `groups`", image.0, self.groups));
        }
        self.convolution().output_shape(image)
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::ProducesInGroups { channels: self.out, groups: self.groups }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let seen = inputs[0].channels() / self.groups;
        let group = AxisRole::InGroup { input: 0, groups: self.groups };
        vec![
            ParameterSpec {
                name: "weight",
                dims: vec![self.out, seen, self.kernel[0], self.kernel[1]],
                axes: vec![AxisRole::Out, group, AxisRole::Neither, AxisRole::Neither],
                kind: ParameterKind::Trained,
                initial: Initial::HeNormal { fan_in: seen * self.window().taps() },
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

    /// A number that the groups do not divide gives an op that [`Op::output_shape`] refuses with that reason.
    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels, ..self.clone() }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    /// A plain convolution: an identity needs no groups, and mixes them from then on.
    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        Conv2d::same(self.out, self.kernel).layer_like(input)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let (weight, bias) = (input.parameters[0], input.parameters[1]);
        Ok(Forward::plain(self.convolution().forward(input.inputs[0], weight, bias)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let by = self.convolution().backward(&input, input.parameters[0])?;
        Ok(Backward { inputs: vec![by.images], parameters: vec![Some(by.weight), Some(by.bias)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        self.convolution().kernel(&inputs[0])
    }

    fn folds(&self) -> bool {
        true
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        self.convolution().reference(&input)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.convolution().cost(&inputs[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, images};

    prop_compose! {
        fn convolutions()(
            own in 1usize..3,
            groups in 1usize..4,
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..3),
            padding in prop::array::uniform2(0usize..3),
            dilation in prop::array::uniform2(1usize..3),
        ) -> GroupedConv2d {
            let most = |axis: usize| (kernel[axis] - 1) * dilation[axis];
            let padding = [padding[0].min(most(0)), padding[1].min(most(1))];
            GroupedConv2d { out: own * groups, groups, kernel, stride, padding, dilation }
        }
    }

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in images(), op in convolutions(), seed: u64) {
            let shape = shape.with_channels(shape.channels() * op.groups);
            prop_assume!(op.output_shape(std::slice::from_ref(&shape)).is_ok());
            Trial::training(op, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn channels_that_the_groups_do_not_divide_are_refused_with_the_numbers() {
        let op = GroupedConv2d::same(6, 3, [3, 3]);
        assert_eq!(op.output_shape(&[Shape::image(9, 4, 5)]), Ok(Shape::image(6, 4, 5)));
        assert!(op.output_shape(&[Shape::image(4, 4, 5)]).unwrap_err().contains("the 4 channels"));
        let uneven = op.with_channels(7).unwrap().output_shape(&[Shape::image(9, 4, 5)]);
        assert!(uneven.unwrap_err().contains("7 output channels do not fall into 3"));
        for groups in [0, 4] {
            assert!(GroupedConv2d::same(6, groups, [3, 3]).output_shape(&[Shape::image(12, 4, 5)]).is_err());
        }
        assert!(op.output_shape(&[Shape::flat(9)]).is_err());
    }

    #[test]
    fn a_new_layer_like_it_has_no_groups() {
        let like = GroupedConv2d::same(6, 3, [1, 5]).layer_like(&Shape::image(9, 4, 5)).unwrap();
        assert_eq!((like.kind(), like.document()), ("conv2d", Conv2d::same(9, [1, 5]).document()));
    }

    #[test]
    fn the_cost_counts_the_channels_of_one_group() {
        let op = GroupedConv2d::same(6, 3, [3, 3]);
        assert_eq!(op.cost(&[Shape::image(9, 5, 4)]).flops, 6 * 20 * (2 * 3 * 9 + 1));
    }
}
