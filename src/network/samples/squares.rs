//! An op that nobody but this file knows: what a user's own would be, without a kernel.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::Initial;
use crate::network::{AxisRole, ChannelRelation, NetworkError, ParameterKind, ParameterSpec, Shape};

/// y[k] = Σ_i weight[i, k] · x[i]², with the axes of its weight the other way round than a linear layer's.
#[derive(Debug)]
pub struct Squares {
    pub out: usize,
}

impl Op for Squares {
    fn kind(&self) -> &'static str {
        "squares"
    }

    fn document(&self) -> Map<String, Value> {
        Map::from_iter([("out".to_owned(), self.out.into())])
    }

    fn output_shape(&self, _: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::flat(self.out))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Produces { channels: self.out }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        vec![ParameterSpec {
            name: "weight",
            dims: vec![inputs[0].channels(), self.out],
            axes: vec![AxisRole::In { input: 0 }, AxisRole::Out],
            kind: ParameterKind::Trained,
            initial: Initial::HeNormal { fan_in: inputs[0].channels() },
        }]
    }

    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(input.inputs[0].sqr()?.matmul(input.parameters[0])?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let squares: Tensor = input.inputs[0].sqr()?;
        let by_squares = input.gradient.matmul(&input.parameters[0].t()?)?;
        let by_input = ((input.inputs[0] * 2.0)? * by_squares)?;
        let by_weight = squares.t()?.matmul(input.gradient)?;
        Ok(Backward { inputs: vec![Some(by_input)], parameters: vec![Some(by_weight)] })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let mut values = vec![0.0; batch.rows * self.out];
        for (row, numbers) in batch.values.chunks(batch.shape.channels()).enumerate() {
            for (x, weights) in numbers.iter().zip(input.parameters[0].chunks(self.out)) {
                weights.iter().enumerate().for_each(|(k, weight)| values[row * self.out + k] += x * x * weight);
            }
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(self.out), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: (3 * inputs[0].channels() * self.out) as u64 }
    }
}
