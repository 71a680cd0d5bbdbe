//! What a policy sees: numbers, gathered by the trainer.

use serde::{Deserialize, Serialize};

/// The state of a learner as a policy sees it. Windows count rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Examples that were learned from (offered as new), holdout excluded.
    pub examples: u64,
    /// Rows since the last growth of any kind (since the start, if none).
    pub rows_since_growth: u64,
    /// Examples at the last growth; 0 if none.
    pub examples_at_growth: u64,
    /// Mean training loss of the newest window; `None` before the first.
    pub training_loss: Option<f64>,
    /// Mean training loss of the window before it.
    pub training_loss_before: Option<f64>,
    /// Mean progressive loss (prediction before learning) of the newest window.
    pub progressive_loss: Option<f64>,
    /// Mean progressive loss of the window before it.
    pub progressive_loss_before: Option<f64>,
    /// Mean holdout loss, newest evaluation.
    pub holdout_loss: Option<f64>,
    /// The evaluation before it.
    pub holdout_loss_before: Option<f64>,
    /// Trained parameters.
    pub parameters: u64,
    /// Floating-point operations of one row.
    pub flops: u64,
    /// Whether the stream is quiet and passes over history no longer improve the loss.
    pub settled: bool,
    /// Candidates in a row that the gate refused: the state is worse than what is served.
    pub gate_refusals: u32,
}
