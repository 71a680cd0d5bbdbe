//! The gate: whether a candidate may become `live`.
//!
//! A pure function of two evaluations on the same rows. Called by the trainer every `publish_rows` rows and before a
//! grown network goes live.

use super::evaluation::Evaluation;
use super::journal::GateOutcome;

/// Measures a candidate against the live version on the same holdout rows, paired row by row.
pub fn judge(candidate: &Evaluation, live: &Evaluation) -> GateOutcome {
    let _ = (candidate, live);
    unimplemented!("helper E1")
}
