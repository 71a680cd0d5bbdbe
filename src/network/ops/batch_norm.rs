//! BatchNorm (Ioffe and Szegedy 2015): every channel is normalised over the rows and positions of the batch in training,
//! by running statistics in evaluation, then scaled and shifted.
//!
//! The running variance takes the unbiased estimate, as PyTorch's does. A batch with one value a channel has no variance
//! to speak of: it is normalised by the running statistics, which it leaves as they are.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use super::by_channel::{across_channels, channels_first, rows_first};
use super::document::{Fields, written};
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// Normalisation over the batch, for flat rows and images. Parameters, each `[channels]`: `scale` and `shift`, trained;
/// `running_mean` and `running_variance`, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance before its root is taken; above 0.
    pub epsilon: f64,
    /// The weight of a batch in the running statistics: from 0 to 1.
    pub momentum: f64,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1 }
    }
}

impl BatchNorm {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["epsilon", "momentum"])?;
        let op = Self { epsilon: fields.number("epsilon")?, momentum: fields.number("momentum")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if !(1e-12..=1.0).contains(&self.epsilon) {
            return Err("`epsilon` is from 1e-12 to 1".into());
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err("`momentum` is from 0 to 1".into());
        }
        Ok(())
    }

    /// Old statistics, moved towards new ones.
    fn moved(&self, old: &Tensor, new: Tensor) -> candle_core::Result<Tensor> {
        (old * (1.0 - self.momentum))? + (new * self.momentum)?
    }
}

impl Op for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn document(&self) -> Map<String, Value> {
        written([("epsilon", json!(self.epsilon)), ("momentum", json!(self.momentum))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        single(inputs).cloned()
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let spec = |name, kind, value| ParameterSpec {
            name,
            dims: vec![inputs[0].channels()],
            axes: vec![AxisRole::Out],
            kind,
            initial: Initial::Constant(value),
        };
        vec![
            spec("scale", ParameterKind::Trained, 1.0),
            spec("shift", ParameterKind::Trained, 0.0),
            spec("running_mean", ParameterKind::Statistic, 0.0),
            spec("running_variance", ParameterKind::Statistic, 1.0),
        ]
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let [scale, shift, running_mean, running_variance] = four(input.parameters);
        let batch = input.inputs[0];
        let count = values_per_channel(batch.dims());
        if input.mode == Mode::Evaluate || count == 1 {
            let deviation = (running_variance + self.epsilon)?.sqrt()?;
            let across = across_channels(batch.dims());
            let output = batch
                .broadcast_sub(&running_mean.reshape(across.as_slice())?)?
                .broadcast_mul(&(scale / deviation)?.reshape(across.as_slice())?)?
                .broadcast_add(&shift.reshape(across.as_slice())?)?;
            return Ok(Forward::plain(output));
        }
        let by_channel = channels_first(batch)?;
        let mean = by_channel.mean_keepdim(1)?;
        let centred = by_channel.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim(1)?;
        let inverse = (&variance + self.epsilon)?.sqrt()?.recip()?;
        let normalised = centred.broadcast_mul(&inverse)?;
        let output = normalised.broadcast_mul(&scale.unsqueeze(1)?)?.broadcast_add(&shift.unsqueeze(1)?)?;
        let unbiased = (variance.squeeze(1)? * (count as f64 / (count - 1) as f64))?;
        Ok(Forward {
            output: rows_first(&output, batch.dims())?,
            saved: vec![normalised, inverse],
            statistics: vec![
                ("running_mean", self.moved(running_mean, mean.squeeze(1)?)?),
                ("running_variance", self.moved(running_variance, unbiased)?),
            ],
        })
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let [scale, _, running_mean, running_variance] = four(input.parameters);
        let batch = input.inputs[0];
        let gradient = channels_first(input.gradient)?;
        let saved = match input.saved {
            [normalised, inverse] => Some((normalised.clone(), inverse.clone())),
            _ => None,
        };
        let of_batch = saved.is_some();
        let (normalised, inverse) = match saved {
            Some(saved) => saved,
            None => {
                let inverse = (running_variance + self.epsilon)?.sqrt()?.recip()?.unsqueeze(1)?;
                let centred = channels_first(batch)?.broadcast_sub(&running_mean.unsqueeze(1)?)?;
                (centred.broadcast_mul(&inverse)?, inverse)
            }
        };
        let by_shift = gradient.sum_keepdim(1)?;
        let by_scale = (&gradient * &normalised)?.sum_keepdim(1)?;
        let by_input = if input.needed[0] {
            let mut through = gradient;
            if of_batch {
                // Mean and variance are functions of the batch too: what they carry is taken off.
                let count = values_per_channel(batch.dims()) as f64;
                through = through.broadcast_sub(&(&by_shift / count)?)?;
                through = (through - normalised.broadcast_mul(&(&by_scale / count)?)?)?;
            }
            let by_channel = through.broadcast_mul(&(scale.unsqueeze(1)? * inverse)?)?;
            Some(rows_first(&by_channel, batch.dims())?)
        } else {
            None
        };
        let parameters = vec![Some(by_scale.squeeze(1)?), Some(by_shift.squeeze(1)?), None, None];
        Ok(Backward { inputs: vec![by_input], parameters })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::BatchNorm::new(inputs[0].channels(), self.epsilon, self.momentum)))
    }

    fn fixed_affine(&self, parameters: &[&[f32]]) -> Option<(Vec<f32>, Vec<f32>)> {
        let &[scale, shift, mean, variance] = parameters else { return None };
        let factor = |(&scale, &variance): (&f32, &f32)| f64::from(scale) / (f64::from(variance) + self.epsilon).sqrt();
        let factors: Vec<f64> = scale.iter().zip(variance).map(factor).collect();
        let moved = shift.iter().zip(mean).zip(&factors);
        let shifts =
            moved.map(|((&shift, &mean), factor)| (f64::from(shift) - f64::from(mean) * factor) as f32).collect();
        Some((factors.into_iter().map(|factor| factor as f32).collect(), shifts))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let (channels, positions) = (batch.shape.channels(), batch.shape.positions());
        let mut values = batch.values.clone();
        for channel in 0..channels {
            let own = |row: usize| (row * channels + channel) * positions..(row * channels + channel + 1) * positions;
            let (mut mean, mut variance) = (input.parameters[2][channel], input.parameters[3][channel]);
            let count = batch.rows * positions;
            if input.mode != Mode::Evaluate && count > 1 {
                let numbers = || (0..batch.rows).flat_map(|row| &batch.values[own(row)]);
                mean = numbers().fold(0.0, |sum, x| sum + x) / count as f64;
                variance = numbers().fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / count as f64;
            }
            let factor = input.parameters[0][channel] / (variance + self.epsilon).sqrt();
            for row in 0..batch.rows {
                values[own(row)].iter_mut().for_each(|x| *x = (*x - mean) * factor + input.parameters[1][channel]);
            }
        }
        ReferenceBatch { rows: batch.rows, shape: batch.shape.clone(), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: 2 * inputs[0].elements() as u64 }
    }
}

/// The op's four parameters by name.
fn four<'a>(parameters: &[&'a Tensor]) -> [&'a Tensor; 4] {
    [parameters[0], parameters[1], parameters[2], parameters[3]]
}

/// How many values of a batch share a channel.
fn values_per_channel(dims: &[usize]) -> usize {
    dims[0] * dims[2..].iter().product::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Layout, Trial, batches, forward, numbers, tensor};

    const TRAIN: Mode = Mode::Train { seed: 1, step: 1 };

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), epsilon in 1e-3..0.1, seed: u64) {
            Trial::training(BatchNorm { epsilon, momentum: 0.1 }, &[shape], rows, seed).check();
        }
    }

    fn run(op: &BatchNorm, values: &[f64], dims: &[usize], mode: Mode) -> Forward {
        let one = |value: f64| tensor(&vec![value; dims[1]], &[dims[1]], Layout::Contiguous);
        let (scale, shift, mean, variance) = (one(2.0), one(1.0), one(10.0), one(4.0));
        forward(op, &[&tensor(values, dims, Layout::Contiguous)], &[&scale, &shift, &mean, &variance], mode)
    }

    #[test]
    fn running_statistics_move_towards_the_mean_and_the_unbiased_variance() {
        let op = BatchNorm { epsilon: 1e-5, momentum: 0.25 };
        // One channel, two rows of two positions: mean 4, variance 20 / 3 unbiased.
        let statistics = run(&op, &[1.0, 3.0, 5.0, 7.0], &[2, 1, 1, 2], TRAIN).statistics;
        assert_eq!((statistics[0].0, statistics[1].0), ("running_mean", "running_variance"));
        assert!((numbers(&statistics[0].1)[0] - (0.75 * 10.0 + 0.25 * 4.0)).abs() < 1e-5);
        assert!((numbers(&statistics[1].1)[0] - (0.75 * 4.0 + 0.25 * 20.0 / 3.0)).abs() < 1e-5);
        assert!(run(&op, &[1.0, 3.0], &[2, 1], Mode::Evaluate).statistics.is_empty());
    }

    #[test]
    fn one_value_a_channel_is_normalised_by_the_running_statistics_and_leaves_them() {
        let op = BatchNorm::default();
        let forward = run(&op, &[12.0, 6.0], &[1, 2], TRAIN);
        assert!(forward.statistics.is_empty());
        let output = numbers(&forward.output);
        assert!((output[0] - 3.0).abs() < 1e-4 && (output[1] + 3.0).abs() < 1e-4, "{output:?}");
    }

    #[test]
    fn in_evaluation_it_is_a_factor_and_a_shift_of_every_channel() {
        let op = BatchNorm { epsilon: 0.5, momentum: 0.1 };
        let (factors, shifts) = op.fixed_affine(&[&[2.0], &[1.0], &[10.0], &[4.0]]).unwrap();
        let output = numbers(&run(&op, &[3.0, 12.0], &[2, 1], Mode::Evaluate).output);
        for (y, x) in output.iter().zip([3.0, 12.0]) {
            assert!((y - f64::from(x * factors[0] + shifts[0])).abs() < 1e-5, "{y} for {x}");
        }
    }

    #[test]
    fn a_channel_that_never_varies_stays_finite() {
        let output = numbers(&run(&BatchNorm::default(), &[7.0; 6], &[3, 2], TRAIN).output);
        assert_eq!(output, [1.0; 6]);
    }

    #[test]
    fn a_large_offset_costs_no_precision() {
        let values: Vec<f64> = (0..64).map(|at| 10_000.0 + f64::from(at % 2)).collect();
        let output = numbers(&run(&BatchNorm::default(), &values, &[64, 1], TRAIN).output);
        assert!(output.iter().zip(&values).all(|(y, x)| (y - (1.0 + 2.0 * (2.0 * (x - 10_000.0) - 1.0))).abs() < 1e-3));
    }
}
