//! The certificate: the measured proof that a growth preserved the function.

use serde::{Deserialize, Serialize};

use crate::network::{Network, Parameters};

use super::apply::GrowthError;
use super::plan::Plan;

/// The rows on which teacher and student are compared: real rows as the encoder gives them, and a seed for random ones.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Encoded rows, each of the teacher's input size; the first 256 are used.
    pub rows: Vec<Vec<f32>>,
    /// The seed of the 64 random rows (standard normal).
    pub seed: u64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Real rows compared.
    pub rows: usize,
    /// Random rows compared.
    pub random_rows: usize,
    /// Largest absolute difference of a logit, in f64.
    pub max_abs_diff: f64,
    /// The same, divided by max(1, largest absolute logit of the teacher).
    pub max_rel_diff: f64,
    /// The limit that decided: 0 where only zeros were added.
    pub limit: f64,
    /// The same figures of the f32 path as served.
    pub served_max_abs_diff: f64,
    /// Relative, of the f32 path.
    pub served_max_rel_diff: f64,
    /// The limit for the f32 path.
    pub served_limit: f64,
    /// In training mode, where the growth is exact there.
    pub train_max_rel_diff: Option<f64>,
    /// Whether every figure stays within its limit.
    pub preserved: bool,
}

/// Compares teacher and student. For new inputs the student's rows have zeros in the new columns and random values as
/// well (a zero column ignores them); for new classes the old logits are compared.
pub fn certify(
    plan: &Plan,
    teacher: (&Network, &Parameters),
    student: (&Network, &Parameters),
    probe: &Probe,
) -> Result<Certificate, GrowthError> {
    let _ = (plan, teacher, student, probe);
    unimplemented!("helper B")
}
