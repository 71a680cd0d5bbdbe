//! A course of training: steps over batches that only the seed decides, with the test accuracy at chosen steps.
//!
//! Courses of one seed and name see the same rows in the same order, whatever network they train: they are paired.

use anyhow::bail;
use candle_core::{Device, Tensor};
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::compute::random::{Purpose, Random};
use perennial::growth::State;
use perennial::network::execute::evaluate;
use perennial::network::initialize::initialize;
use perennial::network::{Network, Parameters};
use perennial::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state, step};

use super::data::Images;

/// A learner's default.
pub const OPTIMIZER: Optimizer = Optimizer::ADAM;
/// Rows of a step: a learner's default.
pub const BATCH: usize = 32;
/// Rows that are evaluated at a time.
const CHUNK: usize = 250;

/// A network with its weights and training state.
#[derive(Clone)]
pub struct Trained {
    pub network: Network,
    pub state: State,
}

impl Trained {
    /// New weights, no steps.
    pub fn new(network: Network, seed: u64) -> anyhow::Result<Self> {
        let parameters = initialize(&network, seed, &Device::Cpu)?;
        let state = first_state(&network, parameters, &OPTIMIZER)?;
        Ok(Self { network, state })
    }

    /// Floating-point operations of so many steps: a backward pass costs about two forward ones.
    pub fn flops(&self, steps: u64) -> f64 {
        3.0 * self.network.flops_per_row() as f64 * BATCH as f64 * steps as f64
    }
}

/// What a course is trained on and by.
pub struct Course<'a> {
    pub images: &'a Images,
    pub seed: u64,
    /// Which order of rows, of those that the seed gives.
    pub order: &'a str,
    pub rate: Rate,
    pub steps: u64,
}

/// Test accuracy in percent after so many steps of a course, in order.
pub type Curve = Vec<(u64, f64)>;

impl Course<'_> {
    /// Trains, and measures at step 0, densely up to step 200, then every 100 steps and at the end.
    pub fn run(&self, trained: &mut Trained) -> anyhow::Result<Curve> {
        let rule = StepRule::plain(OPTIMIZER, self.rate, self.seed);
        let mut curve = vec![(0, accuracy(&trained.network, &trained.state.parameters, self.images)?)];
        for number in 1..=self.steps {
            let batch = self.batch(number, &trained.network)?;
            if let StepOutcome::NonFinite { what } = step(&trained.network, &mut trained.state, &batch, &rule)? {
                bail!("step {number}: {what} is not finite");
            }
            if self.measures(number) {
                curve.push((number, accuracy(&trained.network, &trained.state.parameters, self.images)?));
            }
        }
        Ok(curve)
    }

    fn measures(&self, number: u64) -> bool {
        let every = match number {
            0..=5 => 1,
            6..=50 => 5,
            51..=200 => 25,
            _ => 100,
        };
        number == self.steps || number.is_multiple_of(every)
    }

    fn batch(&self, number: u64, network: &Network) -> anyhow::Result<Batch> {
        let train = &self.images.train;
        let mut random = Random::keyed(self.seed, Purpose::Replay, number, self.order);
        let mut pixels: Vec<f32> = Vec::new();
        let mut classes = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            let index = random.below(train.classes.len());
            pixels.extend(train.row(index, network.input().elements()));
            classes.push(train.classes[index]);
        }
        let inputs = Tensor::from_vec(pixels, network.input().batched(BATCH), &Device::Cpu)?;
        Ok(Batch { inputs, targets: StepTargets::Classes(classes) })
    }
}

/// The logits of all test rows, one behind the other.
pub fn logits(network: &Network, parameters: &Parameters, images: &Images) -> anyhow::Result<Vec<f32>> {
    let mut logits = Vec::new();
    for pixels in images.test.pixels.chunks(CHUNK * network.input().elements()) {
        let rows = pixels.len() / network.input().elements();
        let batch = Tensor::from_slice(pixels, network.input().batched(rows), &Device::Cpu)?;
        logits.extend(evaluate(network, parameters, &batch)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(logits)
}

/// The share of the test rows that are classified correctly, in percent.
fn accuracy(network: &Network, parameters: &Parameters, images: &Images) -> anyhow::Result<f64> {
    let logits = logits(network, parameters, images)?;
    let classes = network.output_shape().elements();
    let answer = |row: &[f32]| (0..classes).max_by(|&one, &other| row[one].total_cmp(&row[other]));
    let right = logits.chunks_exact(classes).zip(&images.test.classes);
    let right = right.filter(|(row, class)| answer(row) == Some(**class as usize)).count();
    Ok(100.0 * right as f64 / images.test.classes.len() as f64)
}
