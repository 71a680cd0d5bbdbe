//! Ops that the crate does not have yet, to hold inference to relations alone: Concat, Take (a range) and Norm (across
//! channels, flat rows).

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, ReferenceBatch, ReferenceInput};
use crate::network::parameter::Initial;
use crate::network::{AxisRole, ChannelRelation, NetworkError, Op, ParameterKind, ParameterSpec, Shape};

/// The channels of all inputs one after the other.
#[derive(Debug, Clone)]
pub struct Concat;

impl Op for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if inputs.iter().any(|shape| shape.axes()[1..] != inputs[0].axes()[1..]) {
            return Err("planes differ".into());
        }
        Ok(inputs[0].with_channels(inputs.iter().map(Shape::channels).sum()))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Concatenates
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(Tensor::cat(input.inputs, 1)?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let mut start = 0;
        let mut inputs = Vec::new();
        for value in input.inputs {
            let channels = value.dim(1)?;
            inputs.push(Some(input.gradient.narrow(1, start, channels)?.contiguous()?));
            start += channels;
        }
        Ok(Backward { inputs, parameters: Vec::new() })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let shapes: Vec<Shape> = input.inputs.iter().map(|batch| batch.shape.clone()).collect();
        let rows = input.inputs[0].rows;
        let row = |row: usize| {
            input.inputs.iter().flat_map(move |batch| batch.values.chunks(batch.shape.elements()).nth(row).unwrap())
        };
        let values = (0..rows).flat_map(row).copied().collect();
        ReferenceBatch { rows, shape: self.output_shape(&shapes).unwrap(), values }
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
    }
}

/// The channels `start..end` of its input.
#[derive(Debug, Clone)]
pub struct Take {
    pub start: usize,
    pub end: usize,
}

impl Op for Take {
    fn kind(&self) -> &'static str {
        "take"
    }

    fn document(&self) -> Map<String, Value> {
        [("start", self.start), ("end", self.end)]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into_iter()
            .collect()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if self.end > inputs[0].channels() || self.start >= self.end {
            return Err("no such range".into());
        }
        Ok(inputs[0].with_channels(self.end - self.start))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Takes { start: self.start, end: self.end }
    }

    fn with_range(&self, start: usize, end: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { start, end }))
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(input.inputs[0].narrow(1, self.start, self.end - self.start)?.contiguous()?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let after = input.inputs[0].dim(1)? - self.end;
        Ok(Backward {
            inputs: vec![Some(input.gradient.pad_with_zeros(1, self.start, after)?)],
            parameters: Vec::new(),
        })
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let positions = batch.shape.positions();
        let rows = batch.values.chunks(batch.shape.elements());
        let values = rows.flat_map(|row| &row[self.start * positions..self.end * positions]).copied().collect();
        ReferenceBatch { rows: batch.rows, shape: batch.shape.with_channels(self.end - self.start), values }
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
    }
}

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
