//! What the norms across channels share: the numbers of a run, all of one row, are normalised by their own statistics.
//!
//! Nothing runs across rows, so training and evaluation are one, and there is nothing to measure and keep. For LayerNorm,
//! GroupNorm and RMSNorm, which are an [`Across`] each.

use std::sync::Arc;

use candle_core::Tensor;

use super::by_channel::{across_channels, channel_sums};
use super::single;
use crate::compute::kernels::{self, Kernel, Measure};
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// The smallest and the largest `epsilon`.
const EPSILON: std::ops::RangeInclusive<f64> = 1e-12..=1.0;

/// Which numbers are normalised together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// At every position of a row, the numbers of all channels there.
    Positions,
    /// All numbers of a row in a group of channels, of which there are so many.
    Groups(usize),
}

/// From where the numbers of a run are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Centre {
    /// Their mean, which is subtracted; there is a trained `shift` to take its place.
    Mean,
    /// Zero: nothing is subtracted and there is no `shift`.
    Zero,
}

/// A normalisation of every run to mean square 1, then of every channel's numbers by its `scale` (and `shift`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Across {
    pub runs: Runs,
    pub centre: Centre,
    /// Added to the mean square before its root is taken.
    pub epsilon: f64,
}

impl Across {
    /// Refuses hyperparameters out of range.
    pub fn check(&self) -> Result<(), String> {
        if !EPSILON.contains(&self.epsilon) {
            return Err("`epsilon` is from 1e-12 to 1".into());
        }
        if self.runs == Runs::Groups(0) { Err("`groups` is at least 1".into()) } else { Ok(()) }
    }

    /// Flat rows and images, whose channels fall into the groups.
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        let input = single(inputs)?;
        match self.runs {
            Runs::Groups(groups) if input.channels() % groups != 0 => {
                Err(format!("`groups` divides the number of channels that enter, {}", input.channels()))
            }
            Runs::Groups(_) | Runs::Positions => Ok(input.clone()),
        }
    }

    /// `scale` and, with a mean to make up for, `shift`, each `[channels]`.
    pub fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let spec = |name, value| ParameterSpec {
            name,
            dims: vec![inputs[0].channels()],
            axes: vec![AxisRole::Out],
            kind: ParameterKind::Trained,
            initial: Initial::Constant(value),
        };
        match self.centre {
            Centre::Mean => vec![spec("scale", 1.0), spec("shift", 0.0)],
            Centre::Zero => vec![spec("scale", 1.0)],
        }
    }

    /// Keeps the normalised batch and, a run, the factor that it was normalised by.
    pub fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let batch = input.inputs[0];
        let mut runs = self.gather(batch)?;
        if self.centre == Centre::Mean {
            // The mean goes before anything is squared, and then what rounding left of it: a large offset costs no precision,
            // and numbers that are all the same give 0 however many they are, so that copies of channels do too.
            for _ in 0..2 {
                runs = runs.broadcast_sub(&runs.mean_keepdim(1)?)?;
            }
        }
        let inverse = (runs.sqr()?.mean_keepdim(1)? + self.epsilon)?.sqrt()?.recip()?;
        let normalised = self.spread(&runs.broadcast_mul(&inverse)?, batch.dims())?;
        let across = across_channels(batch.dims());
        let mut output = normalised.broadcast_mul(&input.parameters[0].reshape(across.as_slice())?)?;
        if self.centre == Centre::Mean {
            output = output.broadcast_add(&input.parameters[1].reshape(across)?)?;
        }
        Ok(Forward { output, saved: vec![normalised, inverse], statistics: Vec::new() })
    }

    /// The way back through the statistics too.
    pub fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let (scale, dims) = (input.parameters[0], input.inputs[0].dims());
        let (normalised, inverse) = (&input.saved[0], &input.saved[1]);
        let mut parameters = vec![Some(channel_sums(&(input.gradient * normalised)?)?)];
        if self.centre == Centre::Mean {
            parameters.push(Some(channel_sums(input.gradient)?));
        }
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters });
        }
        let mut through = self.gather(&input.gradient.broadcast_mul(&scale.reshape(across_channels(dims))?)?)?;
        let normalised = self.gather(normalised)?;
        let along = (&through * &normalised)?.mean_keepdim(1)?;
        // Mean and mean square are functions of the run too: what they carry is taken off.
        if self.centre == Centre::Mean {
            through = through.broadcast_sub(&through.mean_keepdim(1)?)?;
        }
        let by_run = (through - normalised.broadcast_mul(&along)?)?.broadcast_mul(inverse)?;
        Ok(Backward { inputs: vec![Some(self.spread(&by_run, dims)?)], parameters })
    }

    /// The same on plain slices, for rows of this shape.
    pub fn kernel(&self, input: &Shape) -> Arc<dyn Kernel> {
        let epsilon = self.epsilon as f32;
        let measure = match self.centre {
            Centre::Mean => Measure::FromMean(epsilon),
            Centre::Zero => Measure::FromZero(epsilon),
        };
        let (positions, groups, blocks) = match self.runs {
            Runs::Positions => (1, 1, input.positions()),
            Runs::Groups(groups) => (input.positions(), groups, 1),
        };
        Arc::new(kernels::Across { channels: input.channels(), positions, groups, blocks, measure })
    }

    /// The same in f64, run by run.
    pub fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mut batch = input.inputs[0].clone();
        let (runs, positions) = (self.places(&batch.shape), batch.shape.positions());
        for row in batch.values.chunks_exact_mut(batch.shape.elements()) {
            for run in &runs {
                let mean_of = |term: &dyn Fn(f64) -> f64| {
                    run.iter().fold(0.0, |sum, &place| sum + term(row[place])) / run.len() as f64
                };
                let centre = if self.centre == Centre::Mean { mean_of(&|x| x) } else { 0.0 };
                let deviation = (mean_of(&|x| (x - centre) * (x - centre)) + self.epsilon).sqrt();
                for &place in run {
                    let channel = place / positions;
                    let shift = input.parameters.get(1).map_or(0.0, |shift| shift[channel]);
                    row[place] = (row[place] - centre) / deviation * input.parameters[0][channel] + shift;
                }
            }
        }
        batch
    }

    /// A sum, a square and the scaling for every element; with a mean, its sum, difference and shift besides.
    pub fn cost(&self, inputs: &[Shape]) -> Cost {
        let each = if self.centre == Centre::Mean { 7 } else { 4 };
        Cost { flops: each * inputs[0].elements() as u64 }
    }

    /// A batch as `[runs, numbers of a run]`: every run is one run of memory.
    fn gather(&self, batch: &Tensor) -> candle_core::Result<Tensor> {
        match self.runs {
            Runs::Groups(groups) => {
                let (rows, elements) = (batch.dim(0)?, batch.elem_count() / batch.dim(0)?);
                batch.contiguous()?.reshape((rows * groups, elements / groups))
            }
            Runs::Positions if batch.rank() == 2 => batch.contiguous(),
            Runs::Positions => batch.flatten_from(2)?.transpose(1, 2)?.contiguous()?.flatten(0, 1),
        }
    }

    /// The way back from [`Across::gather`] to a batch of the shape `dims`.
    fn spread(&self, runs: &Tensor, dims: &[usize]) -> candle_core::Result<Tensor> {
        match self.runs {
            Runs::Positions if dims.len() > 2 => {
                let positions: usize = dims[2..].iter().product();
                runs.reshape((dims[0], positions, dims[1]))?.transpose(1, 2)?.contiguous()?.reshape(dims)
            }
            Runs::Positions | Runs::Groups(_) => runs.reshape(dims),
        }
    }

    /// For every run of one row the places of its numbers in the row, in order.
    fn places(&self, shape: &Shape) -> Vec<Vec<usize>> {
        let (positions, elements) = (shape.positions(), shape.elements());
        match self.runs {
            Runs::Positions => (0..positions).map(|at| (at..elements).step_by(positions).collect()).collect(),
            Runs::Groups(groups) => {
                let length = elements / groups;
                (0..groups).map(|group| (group * length..(group + 1) * length).collect()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::op::{Mode, Op};
    use crate::network::ops::group_norm::GroupNorm;
    use crate::network::ops::layer_norm::LayerNorm;
    use crate::network::ops::rms_norm::RmsNorm;
    use crate::network::ops::tests::{Layout, forward, numbers, tensor};

    /// The output with scale 2 and, where there is one, shift 1.
    fn run(op: &impl Op, values: &[f64], dims: &[usize]) -> Vec<f64> {
        let one = |value: f64| tensor(&vec![value; dims[1]], &[dims[1]], Layout::Contiguous);
        let (scale, shift) = (one(2.0), one(1.0));
        let batch = tensor(values, dims, Layout::Contiguous);
        numbers(&forward(op, &[&batch], &[&scale, &shift], Mode::Evaluate).output)
    }

    #[test]
    fn a_large_offset_costs_no_precision() {
        let values: Vec<f64> = (0..128).map(|at| 10_000.0 + f64::from(at % 2)).collect();
        let check = |output: Vec<f64>, of: &str| {
            for (y, x) in output.iter().zip(&values) {
                assert!((y - (1.0 + 2.0 * (2.0 * (x - 10_000.0) - 1.0))).abs() < 1e-4, "{of}: {y} for {x}");
            }
        };
        check(run(&LayerNorm::default(), &values, &[2, 64]), "layer");
        check(run(&GroupNorm { groups: 2, epsilon: 1e-5 }, &values, &[2, 4, 4, 4]), "group");
    }

    #[test]
    fn runs_that_never_vary_stay_finite() {
        assert_eq!(run(&LayerNorm::default(), &[7.0; 12], &[2, 3, 1, 2]), [1.0; 12]);
        assert_eq!(run(&GroupNorm { groups: 2, epsilon: 1e-12 }, &[7.0; 12], &[3, 4]), [1.0; 12]);
        assert_eq!(run(&LayerNorm::default(), &[3.0, 4.0], &[2, 1]), [1.0; 2]);
        assert_eq!(run(&RmsNorm { epsilon: 1e-12 }, &[0.0; 6], &[2, 3]), [0.0; 6]);
        assert!(run(&RmsNorm::default(), &[-7.0; 6], &[2, 3]).iter().all(|y| (y + 2.0).abs() < 1e-5));
    }

    #[test]
    fn rows_know_nothing_of_each_other() {
        let (one, other) = ([1.0, -2.0, 0.5, 3.0], [100.0, 50.0, -70.0, 0.25]);
        let both = [one, other].concat();
        let apart = |op: &dyn Fn(&[f64], usize) -> Vec<f64>| {
            assert_eq!(op(&both, 2), [op(&one, 1), op(&other, 1)].concat());
        };
        apart(&|values, rows| run(&LayerNorm::default(), values, &[rows, 2, 1, 2]));
        apart(&|values, rows| run(&GroupNorm { groups: 2, epsilon: 1e-5 }, values, &[rows, 4]));
        apart(&|values, rows| run(&RmsNorm::default(), values, &[rows, 2, 2, 1]));
    }

    #[test]
    fn absurd_hyperparameters_are_refused() {
        let flat = [Shape::flat(6)];
        for epsilon in [0.0, -1.0, 2.0, f64::NAN] {
            assert!(LayerNorm { epsilon }.output_shape(&flat).unwrap_err().contains("epsilon"));
            assert!(RmsNorm { epsilon }.output_shape(&flat).unwrap_err().contains("epsilon"));
            assert!(GroupNorm { groups: 2, epsilon }.output_shape(&flat).unwrap_err().contains("epsilon"));
        }
        let groups = |groups| GroupNorm { groups, epsilon: 1e-5 }.output_shape(&flat);
        assert_eq!(groups(3), Ok(Shape::flat(6)));
        for wrong in [0, 4, 12] {
            assert!(groups(wrong).unwrap_err().contains("groups"));
        }
    }
}
