//! Evaluation: what a model answers on rows, and how good that is.
//!
//! Always in evaluation mode, in batches of a fixed size, so that the same model and rows give the same bits. Called by
//! the trainer for progressive validation, the holdout and the gate.

use candle_core::Device;

use super::encoded::{EncodedLabels, EncodedRows};
use crate::compute::kernels::Crew;
use crate::network::execute::evaluate;
use crate::network::program::Servable;
use crate::network::{Network, NetworkError, Parameters};
use crate::registry::Model;
use crate::stream::Targets;

/// Rows of one forward pass.
const BATCH: usize = 256;

/// The loss of a row whose class the model does not have: as if it had given the class a probability of 1e-7.
const UNKNOWN_CLASS_LOSS: f64 = 16.118_095_650_958_32;

/// What a model answered on a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// A class.
    Class {
        /// Its output.
        index: usize,
        /// Its probability.
        confidence: f64,
        /// Whether it is the row's.
        correct: bool,
    },
    /// A number, in the units of the targets.
    Number {
        /// The answer.
        value: f64,
    },
}

/// One row, scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowScore {
    /// The loss: cross-entropy in nats, or half the squared error divided by the square of the unit.
    pub loss: f64,
    /// The answer.
    pub answer: Answer,
}

/// A model's scores on a set of rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// One for every row, in order.
    pub scores: Vec<RowScore>,
}

impl Evaluation {
    /// Evaluates a model on rows that were encoded with it. `unit`: by what regression errors are divided, the standard
    /// deviation of the *current* targets ([`crate::stream::Targets::scale`] of the trainer's model), so that two
    /// versions with different statistics are measured alike; 1 for classes.
    pub fn of(
        model: &Model,
        parameters: &Parameters,
        rows: &EncodedRows,
        unit: f64,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        let outputs = if device.is_cpu() {
            let servable = Servable::compile(&model.network, parameters)?;
            in_batches(rows, |start, end| servable.run(rows.rows(start, end), &Crew::of_pool()))?
        } else {
            by_tensors(&model.network, parameters, rows, device)?
        };
        Ok(Self::of_outputs(&outputs, &model.targets, rows, unit))
    }

    /// The same of a model's outputs on all rows, in order.
    pub fn of_outputs(outputs: &[f32], targets: &Targets, rows: &EncodedRows, unit: f64) -> Self {
        let width = (outputs.len() / rows.len().max(1)).max(1);
        let score = |(row, output): (usize, &[f32])| match &rows.labels {
            EncodedLabels::Classes(classes) => class_score(output, classes[row]),
            EncodedLabels::Numbers(numbers) => number_score(targets, output[0], numbers[row], unit),
        };
        Self { scores: outputs.chunks_exact(width).enumerate().map(score).collect() }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.scores.len()
    }

    /// The mean loss; `None` without rows.
    pub fn mean_loss(&self) -> Option<f64> {
        let sum: f64 = self.scores.iter().map(|score| score.loss).sum();
        (!self.scores.is_empty()).then(|| sum / self.scores.len() as f64)
    }

    /// The share of rows answered right; `None` without rows and for regression.
    pub fn accuracy(&self) -> Option<f64> {
        let mut right = 0usize;
        for score in &self.scores {
            match score.answer {
                Answer::Class { correct, .. } => right += usize::from(correct),
                Answer::Number { .. } => return None,
            }
        }
        (!self.scores.is_empty()).then(|| right as f64 / self.scores.len() as f64)
    }
}

/// The outputs of encoded rows over tensors, on the device of the parameters.
pub(super) fn by_tensors(
    network: &Network,
    parameters: &Parameters,
    rows: &EncodedRows,
    device: &Device,
) -> Result<Vec<f32>, NetworkError> {
    in_batches(rows, |start, end| {
        let output = evaluate(network, parameters, &rows.tensor(start, end, device)?)?;
        Ok(output.flatten_all()?.to_vec1::<f32>()?)
    })
}

/// The outputs of all rows, [`BATCH`] at a time.
fn in_batches(
    rows: &EncodedRows,
    outputs: impl Fn(usize, usize) -> Result<Vec<f32>, NetworkError>,
) -> Result<Vec<f32>, NetworkError> {
    let mut all = Vec::new();
    for start in (0..rows.len()).step_by(BATCH) {
        all.extend(outputs(start, rows.len().min(start + BATCH))?);
    }
    Ok(all)
}

/// Cross-entropy by the log-sum-exp in f64, so that confident answers keep a loss above zero.
fn class_score(logits: &[f32], truth: Option<u32>) -> RowScore {
    let mut index = 0;
    for (candidate, logit) in logits.iter().enumerate() {
        if *logit > logits[index] {
            index = candidate;
        }
    }
    let largest = f64::from(logits[index]);
    let log_sum = largest + logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum::<f64>().ln();
    let truth = truth.map(|class| class as usize);
    let loss = truth.map_or(UNKNOWN_CLASS_LOSS, |class| log_sum - f64::from(logits[class]));
    // A NaN among other logits makes `log_sum` NaN; the row's loss has to say so, known class or not.
    let loss = if log_sum.is_finite() { loss } else { f64::NAN };
    let confidence = (largest - log_sum).exp();
    RowScore { loss, answer: Answer::Class { index, confidence, correct: truth == Some(index) } }
}

fn number_score(targets: &Targets, output: f32, truth: f64, unit: f64) -> RowScore {
    let value = f64::from(output) * targets.scale() + targets.shift();
    let error = (value - truth) / unit;
    RowScore { loss: 0.5 * error * error, answer: Answer::Number { value } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::builders::NetworkSpec;
    use crate::network::{ParameterId, Shape};
    use crate::stream::{Encoder, Schema, Seq};

    #[test]
    fn the_loss_of_a_class_is_its_negative_log_probability() {
        let score = class_score(&[1.0, 2.0, 0.5], Some(0));
        let exponentials: Vec<f64> = [1.0f64, 2.0, 0.5].iter().map(|logit| logit.exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        assert!((score.loss + (exponentials[0] / sum).ln()).abs() < 1e-12);
        let Answer::Class { index, confidence, correct } = score.answer else { panic!("a class was asked for") };
        assert_eq!((index, correct), (1, false));
        assert!((confidence - exponentials[1] / sum).abs() < 1e-12);
    }

    #[test]
    fn rows_beyond_one_batch_are_scored_in_order() {
        let network = NetworkSpec::Mlp { hidden: vec![], dropout: 0.0 }.build(&Shape::flat(1), 2).unwrap();
        let mut parameters = Parameters::new();
        // The logits of x are (x, −x): class 0 for positive rows.
        for (id, values, shape) in
            [("output/weight", vec![1.0f32, -1.0], vec![2, 1]), ("output/bias", vec![0.0, 0.0], vec![2])]
        {
            let tensor = candle_core::Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            parameters.insert(ParameterId::from_stored(id), tensor);
        }
        let schema: Schema =
            serde_json::from_value(serde_json::json!({"features": [{"name": "x", "kind": "numeric"}]})).unwrap();
        let targets = Targets::Classes { classes: vec!["a".into(), "b".into()] };
        let model = Model { network, encoder: Encoder::new(&schema), targets };
        let values: Vec<f32> = (0..600).map(|row| if row % 3 == 0 { 2.0 } else { -2.0 }).collect();
        let rows = EncodedRows {
            seqs: (1..=600).map(Seq).collect(),
            shape: Shape::flat(1),
            values,
            labels: EncodedLabels::Classes((0..600).map(|row| Some(u32::from(row % 3 != 0 || row < 3))).collect()),
        };
        let evaluation = Evaluation::of(&model, &parameters, &rows, 1.0, &Device::Cpu).unwrap();
        assert_eq!(evaluation.rows(), 600);
        // Row 0 alone is labelled against its sign.
        assert_eq!(evaluation.accuracy(), Some(599.0 / 600.0));
        let (right, wrong) = ((1.0 + (-4.0f64).exp()).ln(), (1.0 + 4.0f64.exp()).ln());
        assert!((evaluation.mean_loss().unwrap() - (599.0 * right + wrong) / 600.0).abs() < 1e-6);
        assert_eq!(Evaluation::default().mean_loss(), None);
    }

    #[test]
    fn huge_logits_give_a_finite_loss() {
        let score = class_score(&[1e30, -1e30], Some(0));
        assert_eq!(score.loss, 0.0);
        assert!(class_score(&[1e30, -1e30], Some(1)).loss.is_finite());
    }

    #[test]
    fn a_logit_that_is_not_finite_shows_in_the_loss() {
        for broken in [f32::NAN, f32::INFINITY] {
            assert!(!class_score(&[0.0, broken], Some(0)).loss.is_finite());
            assert!(!class_score(&[broken, 0.0], None).loss.is_finite());
        }
    }

    #[test]
    fn a_class_the_model_does_not_have_is_wrong_and_costs_much() {
        let score = class_score(&[0.0, 0.0], None);
        assert!((score.loss + 1e-7f64.ln()).abs() < 1e-9);
        assert!(matches!(score.answer, Answer::Class { correct: false, .. }));
    }

    #[test]
    fn two_versions_with_different_statistics_are_measured_in_one_unit() {
        let narrow = Targets::Number { count: 100, mean: 10.0, m2: 100.0 };
        let wide = Targets::Number { count: 100, mean: 0.0, m2: 10_000.0 };
        // Both answer 12 where 15 is true: an output of 2 standard deviations of 1 above 10, and of 1.2 of 10 above 0.
        let narrow_output = ((12.0 - narrow.shift()) / narrow.scale()) as f32;
        let wide_output = ((12.0 - wide.shift()) / wide.scale()) as f32;
        let one = number_score(&narrow, narrow_output, 15.0, 10.0);
        let other = number_score(&wide, wide_output, 15.0, 10.0);
        assert!((one.loss - 0.045).abs() < 1e-5);
        assert!((one.loss - other.loss).abs() < 1e-5);
    }
}
