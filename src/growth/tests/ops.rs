//! An op that the crate does not have yet, to hold inference to relations alone: Norm (across channels, flat rows).

use serde_json::{Map, Value};

use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, ReferenceBatch, ReferenceInput};
use crate::network::parameter::Initial;
use crate::network::{AxisRole, ChannelRelation, NetworkError, Op, ParameterKind, ParameterSpec, Shape};

/// Every row less its mean and divided by its standard deviation, times a trained scale by channel. Evaluation only.
#[derive(Debug, Clone)]
pub struct Norm;

impl Op for Norm {
    fn kind(&self) -> &'static str {
        "norm"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0].clone())
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::CarriesAcross { groups: 1 }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        vec![ParameterSpec {
            name: "scale",
            dims: vec![inputs[0].channels()],
            axes: vec![AxisRole::Out],
            kind: ParameterKind::Trained,
            initial: Initial::Constant(1.0),
        }]
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let centred = input.inputs[0].broadcast_sub(&input.inputs[0].mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + 1e-3)?.sqrt()?;
        Ok(Forward::plain(centred.broadcast_div(&deviation)?.broadcast_mul(input.parameters[0])?))
    }

    fn backward(&self, _: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        Err(NetworkError::Batch("this norm is for evaluation".into()))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mut batch = input.inputs[0].clone();
        for row in batch.values.chunks_mut(batch.shape.elements()) {
            let count = row.len() as f64;
            let mean = row.iter().sum::<f64>() / count;
            let deviation = (row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count + 1e-3).sqrt();
            row.iter_mut()
                .zip(input.parameters[0])
                .for_each(|(value, scale)| *value = (*value - mean) / deviation * scale);
        }
        batch
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
    }
}
