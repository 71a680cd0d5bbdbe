//! The certificate: the measured proof that a growth preserved the function.
//!
//! Decided in f64 by the reference evaluator, on the largest absolute difference of a logit (never a sum, which hides
//! errors); the f32 path as served and training mode are measured beside it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::compute::kernels::Crew;
use crate::compute::random::{Purpose, Random};
use crate::network::op::ReferenceBatch;
use crate::network::program::Servable;
use crate::network::reference::{self, ReferenceParameters};
use crate::network::{Mode, Network, Parameters};

use super::apply::GrowthError;
use super::plan::{GrowthOp, Plan, Preserves};

/// The rows on which teacher and student are compared: real rows as the encoder gives them, and a seed for random ones.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Encoded rows, each of the teacher's input size; up to 256 of them are used, fewer of a costly network.
    pub rows: Vec<Vec<f32>>,
    /// The seed of the random rows (standard normal): up to 64, a quarter as many as real ones may be used.
    pub seed: u64,
}

impl Probe {
    /// Its rows and the random ones behind them, as many as a network of this cost is compared on.
    pub(super) fn real_and_random(&self, network: &Network) -> Result<Vec<Vec<f32>>, GrowthError> {
        Ok(ProbeRows::new(network, network, self)?.teacher)
    }
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
    /// The limit that decided: 0 where only zeros were added. A baseline, which promises nothing, is held against that
    /// of a growth that copies.
    pub limit: f64,
    /// The same figures of the f32 path as served.
    pub served_max_abs_diff: f64,
    /// Relative, of the f32 path.
    pub served_max_rel_diff: f64,
    /// The limit for the f32 path.
    pub served_limit: f64,
    /// In training mode, where nothing is drawn at random there or no mask of dropout is touched.
    pub train_max_rel_diff: Option<f64>,
    /// The limit for training mode; `None` where the growth is exact in evaluation only, as with a new BatchNorm.
    #[serde(default)]
    pub train_limit: Option<f64>,
    /// Whether every figure stays within its limit.
    pub preserved: bool,
}

/// Compares teacher and student. For new inputs the student's rows have zeros in the new columns and random values as
/// well (a zero column ignores them); for new classes the old logits are compared.
///
/// A figure that is no number (a logit that is not finite) counts as the largest there is.
///
/// # Errors
/// Probe rows that do not fit the teacher, a plan or parameters of another network.
pub fn certify(
    plan: &Plan,
    teacher: (&Network, &Parameters),
    student: (&Network, &Parameters),
    probe: &Probe,
) -> Result<Certificate, GrowthError> {
    let (teacher, student) = (Side::new(teacher)?, Side::new(student)?);
    if student.network.output_shape().elements() < teacher.network.output_shape().elements() {
        return Err(GrowthError::Mismatch("the student has fewer outputs".into()));
    }
    let rows = ProbeRows::new(teacher.network, student.network, probe)?;
    let old = teacher.logits(&rows.teacher, Path::Reference)?;
    let old_served = teacher.logits(&rows.teacher, Path::Served)?;
    let exact = compare(&old, &student, &rows, Path::Reference)?;
    let served = compare(&old_served, &student, &rows, Path::Served)?;
    let rows_training = rows.training();
    let old_training = teacher.logits(&rows_training.teacher, Path::Training)?;
    let measured = keeps_masks(plan) || steady(&teacher, &rows_training, &old_training)?;
    let training = match measured {
        true => Some(compare(&old_training, &student, &rows_training, Path::Training)?.relative),
        false => None,
    };
    let limit = limit(plan.preserves);
    let train_limit = if plan.preserves == Preserves::Evaluation { None } else { training.map(|_| limit) };
    let own = difference(&old, &old_served).relative;
    let served_limit = limit.max(PRECISION).max((SERVED_FACTOR * own).min(f64::MAX));
    let trained = training.zip(train_limit).is_none_or(|(relative, limit)| relative <= limit);
    let preserved = exact.relative <= limit && served.relative <= served_limit && trained;
    Ok(Certificate {
        rows: rows.real,
        random_rows: rows.teacher.len() - rows.real,
        max_abs_diff: exact.absolute,
        max_rel_diff: exact.relative,
        limit,
        served_max_abs_diff: served.absolute,
        served_max_rel_diff: served.relative,
        served_limit,
        train_max_rel_diff: training,
        train_limit,
        preserved,
    })
}

/// The most real rows that are compared.
const REAL_ROWS: usize = 256;
/// The most random rows that are compared.
const RANDOM_ROWS: usize = 64;
/// What one reference evaluation of all rows may cost: a few seconds of one core, so that a growth never keeps a trainer
/// from its turns for minutes.
const REFERENCE_FLOPS: u64 = 500_000_000;
/// A costly network is compared on a smaller share of the rows, but never on less than this part of them.
const FEWEST_PART: usize = 8;
/// The most rows of either kind in the one batch that training mode is compared on: batch statistics need it whole.
const TRAINING_ROWS: usize = 32;
/// The rows that one thread of the reference evaluator takes at a time; the result does not depend on it.
pub(super) const CHUNK: usize = 16;
/// The largest relative difference of a growth that copies.
const PRECISION: f64 = 1e-5;
/// How many times the teacher's own difference between f32 and f64 the served path may differ.
const SERVED_FACTOR: f64 = 8.0;

/// The limit in f64.
fn limit(preserves: Preserves) -> f64 {
    match preserves {
        Preserves::Bits => 0.0,
        Preserves::Function | Preserves::Evaluation | Preserves::Nothing => PRECISION,
        Preserves::Approximately { tolerance } => tolerance,
    }
}

/// A network with its parameters in both precisions.
struct Side<'a> {
    network: &'a Network,
    /// The program of predictions, on the CPU whatever device trains: a GPU may train in a coarser precision than f32.
    served: Servable,
    wide: ReferenceParameters,
}

impl<'a> Side<'a> {
    fn new((network, parameters): (&'a Network, &'a Parameters)) -> Result<Self, GrowthError> {
        Ok(Self { network, served: Servable::compile(network, parameters)?, wide: reference::widen(parameters)? })
    }

    /// The logits of all rows, row by row.
    fn logits(&self, rows: &[Vec<f32>], path: Path) -> Result<Vec<f64>, GrowthError> {
        let chunk = |rows: &[Vec<f32>], mode| reference::evaluate(self.network, &self.wide, &self.batch(rows), mode);
        match path {
            Path::Reference => {
                let chunks: Vec<_> = rows.par_chunks(CHUNK).map(|rows| chunk(rows, Mode::Evaluate)).collect();
                let mut logits = Vec::new();
                for chunk in chunks {
                    logits.extend(chunk?.values);
                }
                Ok(logits)
            }
            Path::Training => Ok(chunk(rows, TRAINING)?.values),
            Path::Served => {
                let logits = self.served.run(&rows.concat(), &Crew::of_pool())?;
                Ok(logits.into_iter().map(f64::from).collect())
            }
        }
    }

    fn batch(&self, rows: &[Vec<f32>]) -> ReferenceBatch {
        ReferenceBatch::of(self.network.input(), rows)
    }
}

/// Which evaluation is compared.
#[derive(Clone, Copy)]
enum Path {
    /// f64.
    Reference,
    /// f64 in training mode.
    Training,
    /// f32, as predictions are made.
    Served,
}

const TRAINING: Mode = Mode::Train { seed: 0, step: 1 };
const ANOTHER_STEP: Mode = Mode::Train { seed: 0, step: 2 };

/// The rows for the teacher, and for the student one or two variants of the same.
struct ProbeRows {
    real: usize,
    teacher: Vec<Vec<f32>>,
    student: Vec<Vec<Vec<f32>>>,
}

impl ProbeRows {
    fn new(teacher: &Network, student: &Network, probe: &Probe) -> Result<Self, GrowthError> {
        let size = teacher.input().elements();
        let added = student.input().elements().checked_sub(size);
        let added = added.ok_or_else(|| GrowthError::Mismatch("the student has fewer inputs".into()))?;
        if probe.rows.iter().take(REAL_ROWS).any(|row| row.len() != size) {
            return Err(GrowthError::Mismatch(format!("a probe row has not the teacher's {size} inputs")));
        }
        let all = (REAL_ROWS + RANDOM_ROWS) as u64;
        let part = (all * student.flops_per_row() / REFERENCE_FLOPS + 1).min(FEWEST_PART as u64) as usize;
        let mut random = Random::keyed(probe.seed, Purpose::Probe, 0, "rows");
        let mut normals = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
        let mut rows: Vec<Vec<f32>> = probe.rows.iter().take(REAL_ROWS / part).cloned().collect();
        let real = rows.len();
        rows.extend((0..RANDOM_ROWS / part).map(|_| normals(size)));
        let mut student = Vec::new();
        if added > 0 {
            student.push(rows.iter().map(|row| [&row[..], &vec![0.0; added]].concat()).collect());
            student.push(rows.iter().map(|row| [&row[..], &normals(added)].concat()).collect());
        } else {
            student.push(rows.clone());
        }
        Ok(Self { real, teacher: rows, student })
    }

    /// The smaller batch for training mode: rows of both kinds.
    fn training(&self) -> Self {
        let kept = |rows: &Vec<Vec<f32>>| -> Vec<Vec<f32>> {
            let (real, random) = rows.split_at(self.real);
            real.iter().take(TRAINING_ROWS).chain(random.iter().take(TRAINING_ROWS)).cloned().collect()
        };
        let real = self.real.min(TRAINING_ROWS);
        Self { real, teacher: kept(&self.teacher), student: self.student.iter().map(kept).collect() }
    }
}

struct Difference {
    absolute: f64,
    relative: f64,
}

/// The largest difference of an old logit on one path; `old` are the teacher's logits there.
fn compare(old: &[f64], student: &Side<'_>, rows: &ProbeRows, path: Path) -> Result<Difference, GrowthError> {
    let width = old.len() / rows.teacher.len();
    let grown = student.network.output_shape().elements();
    let mut largest = Difference { absolute: 0.0, relative: 0.0 };
    for variant in &rows.student {
        let new = student.logits(variant, path)?;
        let kept: Vec<f64> = new.chunks_exact(grown).flat_map(|row| &row[..width]).copied().collect();
        let found = difference(old, &kept);
        largest.absolute = largest.absolute.max(found.absolute);
        largest.relative = largest.relative.max(found.relative);
    }
    Ok(largest)
}

fn difference(old: &[f64], new: &[f64]) -> Difference {
    let scale = old.iter().fold(1.0f64, |largest, logit| largest.max(logit.abs()));
    let mut absolute = 0.0f64;
    for (old, new) in old.iter().zip(new) {
        let off = (new - old).abs();
        // The largest finite number rather than infinity: the certificate is stored as JSON.
        absolute = if off.is_finite() { absolute.max(off) } else { f64::MAX };
    }
    let relative = if absolute == f64::MAX { f64::MAX } else { absolute / scale };
    Difference { absolute, relative }
}

/// Growths that leave every mask of dropout as it is, because no node behind which one stands changes its shape: new
/// layers as wide as the old ones, and classes.
fn keeps_masks(plan: &Plan) -> bool {
    match plan.op {
        GrowthOp::Deeper => plan.steps.len() == 1,
        GrowthOp::Classes => true,
        GrowthOp::Wider | GrowthOp::Inputs => false,
    }
}

/// Whether training mode draws nothing at random: then every growth is exact there too. Under dropout the masks of
/// copies differ (Net2Net §2.3).
fn steady(teacher: &Side<'_>, rows: &ProbeRows, logits: &[f64]) -> Result<bool, GrowthError> {
    let batch = teacher.batch(&rows.teacher);
    let again = reference::evaluate(teacher.network, &teacher.wide, &batch, ANOTHER_STEP)?;
    Ok(again.values == logits)
}
