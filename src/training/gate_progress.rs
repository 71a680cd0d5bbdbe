//! Where the gate stands between its runs: part of the trainer's progress.
//!
//! Counts learned rows, not time, so that a restart runs the gate at the same places.

use serde::{Deserialize, Serialize};

use super::evaluation::Evaluation;
use super::exact::Exact;
use crate::registry::VersionMetrics;

/// What the gate remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct GateProgress {
    /// New rows since it ran.
    pub rows_since: u64,
    /// Whether anything was learned since it ran.
    pub learned: bool,
    /// Refusals in a row.
    pub refusals: u32,
    /// Holdout rows measured.
    pub holdout_rows: u64,
    /// Mean loss of the trainer's state on them.
    pub holdout_loss: Option<Exact>,
    /// The same at the run before.
    pub holdout_loss_before: Option<Exact>,
    /// Accuracy on them (classification).
    pub holdout_accuracy: Option<Exact>,
}

impl GateProgress {
    /// The gate ran.
    pub fn measured(&mut self, candidate: &Evaluation) {
        self.rows_since = 0;
        self.learned = false;
        self.holdout_rows = candidate.rows() as u64;
        self.holdout_loss_before = self.holdout_loss;
        self.holdout_loss = candidate.mean_loss().filter(|loss| loss.is_finite()).map(Exact);
        self.holdout_accuracy = candidate.accuracy().map(Exact);
    }

    /// Mean loss of the trainer's state on the holdout rows, when the gate last ran.
    pub fn holdout_loss(&self) -> Option<f64> {
        self.holdout_loss.map(|loss| loss.0)
    }

    /// What a version carries of it.
    pub fn version_metrics(&self, progressive_accuracy: Option<f64>) -> VersionMetrics {
        VersionMetrics {
            holdout_rows: self.holdout_rows,
            holdout_loss: self.holdout_loss(),
            holdout_accuracy: self.holdout_accuracy.map(|accuracy| accuracy.0),
            progressive_accuracy,
        }
    }
}
