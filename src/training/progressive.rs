//! Progressive validation: every example is predicted before it is learned, and the answers are counted.
//!
//! Bounded memory (marginals per class, a window of 1,000 rows), deterministic, and part of the checkpoint bit for bit:
//! floating-point numbers are stored by their bits. Called by the trainer, once a row, in order.

use serde::{Deserialize, Serialize};

use super::evaluation::RowScore;
use super::status::LearnerMetrics;
use crate::stream::{Label, Targets};

/// What was counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progressive {
    rows: u64,
}

impl Progressive {
    /// Takes the score of the next row, with the targets of the model that gave it.
    pub fn observe(&mut self, targets: &Targets, label: &Label, score: &RowScore) {
        let _ = (targets, label, score);
        unimplemented!("helper E1")
    }

    /// The fields of [`LearnerMetrics`] that progressive validation knows; the others stay at their defaults.
    pub fn metrics(&self) -> LearnerMetrics {
        unimplemented!("helper E1")
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}
