//! A version in memory, ready to answer. A value: it never changes once it is made.

use std::sync::Arc;

use super::predictor::Prediction;
use crate::compute::kernels::Crew;
use crate::network::loss::softmax;
use crate::network::program::Servable;
use crate::network::{NetworkError, Parameters};
use crate::registry::{Model, VersionId};
use crate::stream::{Row, Targets};

/// A version with its weights.
pub struct LoadedModel {
    /// Which.
    pub version: VersionId,
    /// Its classes in order of their outputs; empty for regression.
    pub classes: Arc<[String]>,
    model: Model,
    servable: Servable,
}

/// Why a model gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The evaluation failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An output is not finite.
    #[error("an output of the network is not finite")]
    NotFinite,
    /// The network gives another number of outputs than its targets need.
    #[error("the network gives {found} outputs a row where {expected} are needed")]
    Outputs { found: usize, expected: usize },
}

impl LoadedModel {
    /// A model of these weights.
    ///
    /// # Errors
    /// Weights that are not the network's.
    pub fn new(version: VersionId, model: Model, parameters: &Parameters) -> Result<Self, NetworkError> {
        let classes = match &model.targets {
            Targets::Classes { classes } => classes.clone().into(),
            Targets::Number { .. } => Arc::default(),
        };
        let servable = Servable::compile(&model.network, parameters)?;
        Ok(Self { version, classes, model, servable })
    }

    /// The answers for these rows, in order. All of them are finite.
    pub fn answer<'a>(&self, rows: impl ExactSizeIterator<Item = &'a Row>) -> Result<Vec<Prediction>, ModelError> {
        let count = rows.len();
        let mut numbers = Vec::with_capacity(count * self.model.network.input().elements());
        self.model.encoder.encode_all(rows, &mut numbers);
        self.answer_encoded(&numbers, count)
    }

    /// Answers a row of zeros and throws the answer away: brings code and memory in, and proves that the weights give
    /// finite outputs.
    pub fn warm_up(&self) -> Result<(), ModelError> {
        let zeros = vec![0.0; self.model.network.input().elements()];
        self.answer_encoded(&zeros, 1).map(drop)
    }

    fn answer_encoded(&self, numbers: &[f32], rows: usize) -> Result<Vec<Prediction>, ModelError> {
        if rows == 0 {
            return Ok(Vec::new());
        }
        let outputs = self.servable.run(numbers, &Crew::of_pool())?;
        let expected = self.model.targets.outputs();
        if outputs.len() != rows * expected {
            return Err(ModelError::Outputs { found: outputs.len() / rows, expected });
        }
        outputs.chunks_exact(expected).map(|row| self.prediction(row)).collect()
    }

    fn prediction(&self, outputs: &[f32]) -> Result<Prediction, ModelError> {
        let prediction = match &self.model.targets {
            // An open task without a class yet has one output that stands for nothing.
            Targets::Classes { classes } => Prediction::Classes(softmax(&outputs[..classes.len()])),
            targets => Prediction::Number(f64::from(outputs[0]) * targets.scale() + targets.shift()),
        };
        if outputs.iter().all(|output| output.is_finite()) && prediction.is_finite() {
            Ok(prediction)
        } else {
            Err(ModelError::NotFinite)
        }
    }
}

impl Prediction {
    fn is_finite(&self) -> bool {
        match self {
            Self::Classes(probabilities) => probabilities.iter().all(|probability| probability.is_finite()),
            Self::Number(value) => value.is_finite(),
        }
    }
}
