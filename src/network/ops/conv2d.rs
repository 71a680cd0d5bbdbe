//! Conv2d: a convolution over the planes of an image, of any kernel, stride, padding (with zeros) and dilation.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::columns::Convolution;
use super::document::{Fields, pair, written};
use super::single_image;
use super::window::Window;
use crate::compute::kernels::Kernel;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

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

    fn convolution(&self) -> Convolution {
        Convolution { out: self.out, groups: 1, window: self.window() }
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
        self.convolution().output_shape(single_image(inputs)?)
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

    /// Of its own kernel where that is odd and sees more than one position (Net2Net §3.3 puts pairs of 3x1 and 1x3
    /// behind such pairs), of 3x3 elsewhere.
    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        let own = self.kernel.iter().all(|side| side % 2 == 1) && self.kernel != [1, 1];
        let kernel = if own { self.kernel } else { [3, 3] };
        input.plane().map(|_| Arc::new(Self::same(input.channels(), kernel)) as _)
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
