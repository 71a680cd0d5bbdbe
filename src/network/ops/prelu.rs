//! PReLU (He et al. 2015): x from 0 up, below 0 x times a slope that every channel learns.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::above_zero;
use super::by_channel::{across_channels, channel_sums};
use super::document::Fields;
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, FixedSet, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// A rectifier with a learned slope below 0, for flat rows and images. One parameter: `slope` `[channels]`, 0.25 at first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prelu;

impl Prelu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Prelu {
    fn kind(&self) -> &'static str {
        "prelu"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        single(inputs).cloned()
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        vec![ParameterSpec {
            name: "slope",
            dims: vec![inputs[0].channels()],
            axes: vec![AxisRole::Out],
            kind: ParameterKind::Trained,
            initial: Initial::Constant(0.25),
        }]
    }

    fn fixes(&self) -> FixedSet {
        FixedSet::Everything
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        // A product, and not a sum of two parts, leaves what is not a number as it is on every device.
        let batch = input.inputs[0];
        Ok(Forward::plain((batch * factors(batch, input.parameters[0])?)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let (batch, slope) = (input.inputs[0], input.parameters[0]);
        let by_input = if input.needed[0] { Some((input.gradient * factors(batch, slope)?)?) } else { None };
        let by_slope = channel_sums(&(input.gradient * batch.minimum(0.0f32)?)?)?;
        Ok(Backward { inputs: vec![by_input], parameters: vec![Some(by_slope)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Prelu { channels: inputs[0].channels() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mut batch = input.inputs[0].clone();
        let channels = batch.shape.channels();
        for (plane, values) in batch.values.chunks_exact_mut(batch.shape.positions()).enumerate() {
            let slope = input.parameters[0][plane % channels];
            values.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x *= slope);
        }
        batch
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: 2 * inputs[0].elements() as u64 }
    }
}

/// 1 where an element is above 0, else the slope of its channel: what an element is multiplied by, and so its derivative.
fn factors(batch: &Tensor, slope: &Tensor) -> candle_core::Result<Tensor> {
    let above = above_zero(batch)?;
    let below = above.affine(-1.0, 1.0)?;
    above + below.broadcast_mul(&slope.reshape(across_channels(batch.dims()))?)?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, batches, forward, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), seed: u64) {
            Trial::training(Prelu, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn slope_1_changes_nothing_and_every_channel_has_its_own() {
        let batch = tensor(&[-3.1, 0.7, -0.0, 5.3, -7.9, 2.2], &[1, 2, 1, 3], Layout::Contiguous);
        let run = |slopes| numbers(&forward(&Prelu, &[&batch], &[&slopes], Mode::Evaluate).output);
        assert_eq!(run(tensor(&[1.0, 1.0], &[2], Layout::Contiguous)), numbers(&batch));
        let expected: Vec<f64> = [-6.2, 0.7, 0.0, 5.3, 7.9, 2.2].map(|x: f64| f64::from(x as f32)).to_vec();
        assert_eq!(run(tensor(&[2.0, -1.0], &[2], Layout::Contiguous)), expected);
    }
}
