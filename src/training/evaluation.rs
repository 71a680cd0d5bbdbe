//! Evaluation: what a model answers on rows, and how good that is.
//!
//! Always in evaluation mode, in batches of a fixed size, so that the same model and rows give the same bits. Called by
//! the trainer for progressive validation, the holdout and the gate.

use candle_core::Device;

use super::encoded::EncodedRows;
use crate::network::{NetworkError, Parameters};
use crate::registry::Model;

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
        let _ = (model, parameters, rows, unit, device);
        unimplemented!("helper E1")
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.scores.len()
    }

    /// The mean loss; `None` without rows.
    pub fn mean_loss(&self) -> Option<f64> {
        unimplemented!("helper E1")
    }

    /// The share of rows answered right; `None` without rows and for regression.
    pub fn accuracy(&self) -> Option<f64> {
        unimplemented!("helper E1")
    }
}
