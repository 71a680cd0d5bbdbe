//! ReLU: max(0, x), with gradient 0 at exactly 0 (candle's own has 1 there).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::Fields;
use super::single;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::ParameterSpec;
use crate::network::shape::Shape;

/// The rectifier, on every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relu;

impl Relu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Relu {
    fn kind(&self) -> &'static str {
        "relu"
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

    fn parameters(&self, _: &[Shape]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    fn with_channels(&self, _: usize) -> Arc<dyn Op> {
        Arc::new(self.clone())
    }

    fn is_idempotent_activation(&self) -> bool {
        true
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn output_is_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(input.inputs[0].relu()?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        // The sign of an output is 1 where the input was above 0, and else 0.
        let gradient = if input.needed[0] { Some((input.gradient * input.output.sign()?)?) } else { None };
        Ok(Backward { inputs: vec![gradient], parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let values = batch.values.iter().map(|x| x.max(0.0)).collect();
        ReferenceBatch { rows: batch.rows, shape: batch.shape.clone(), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: inputs[0].elements() as u64 }
    }
}
