//! One optimizer step: forward, loss, backward, update; all of it or nothing.
//!
//! Invariant: a non-finite loss, gradient or weight never enters the state. Called by the trainer on its pool.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use super::encoded::{EncodedLabels, EncodedRows};
use crate::compute::finite::{Squares, first_beyond, squares};
use crate::compute::optimizer::{Decays, Optimizer, OptimizerState, Rate, Terms, UpdateError, clip_factor};
use crate::growth::State;
use crate::network::execute::{backward, forward};
use crate::network::loss;
use crate::network::{AxisRole, Mode, Network, NetworkError, ParameterId, ParameterKind, Parameters};
use crate::stream::Targets;

/// What a batch is trained towards.
#[derive(Debug, Clone, PartialEq)]
pub enum StepTargets {
    /// Class indices.
    Classes(Vec<u32>),
    /// Standardised regression targets.
    Numbers(Vec<f32>),
}

impl StepTargets {
    /// The mean loss of outputs `[rows, classes]` or `[rows, 1]`, which become the gradient of it.
    ///
    /// # Errors
    /// Not one target a row, a class that is none.
    pub(super) fn mean_loss(&self, outputs: &mut [f32]) -> Result<f64, NetworkError> {
        match self {
            Self::Classes(classes) => loss::cross_entropy(outputs, classes),
            Self::Numbers(numbers) => loss::squared_error(outputs, numbers),
        }
    }
}

/// A batch, ready for a step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[rows, …input shape]`.
    pub inputs: Tensor,
    /// As many targets.
    pub targets: StepTargets,
}

/// How a step is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRule {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// How far the step goes ([`super::rates::Rates::rate`]). Its decay is that of weights: of the parameters that
    /// consume channels; nothing decays of those that only shift or scale them.
    pub rate: Rate,
    /// The learner's seed, for dropout.
    pub seed: u64,
    /// The longest that the gradient of all parameters together may be.
    pub clip_norm: Option<f64>,
    /// What averages keep of themselves in a step; 0 where none are kept.
    pub average_decay: f64,
}

impl StepRule {
    /// Steps of this optimizer at this rate, without clipping and averages.
    pub const fn plain(optimizer: Optimizer, rate: Rate, seed: u64) -> Self {
        Self { optimizer, rate, seed, clip_norm: None, average_decay: 0.0 }
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// It was done.
    Done {
        /// Mean loss of the batch, before the update.
        loss: f64,
    },
    /// Something was not finite; the state is what it was.
    NonFinite {
        /// `loss`, the gradient or statistic by name, or `learning rate`.
        what: String,
    },
}

/// A step that could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A row's class is none of the model's; the trainer adopts classes before it learns from them.
    #[error("a row's class is none of the model's")]
    UnknownClass,
    /// The optimizer state has no moments for a parameter: it is not of this network.
    #[error("the optimizer state has nothing for `{0}`")]
    MissingMoments(String),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Batch {
    /// All of these rows as one batch on a device, regression targets standardised by `targets`.
    pub fn of(rows: &EncodedRows, targets: &Targets, device: &candle_core::Device) -> Result<Self, StepError> {
        let inputs = rows.tensor(0, rows.len(), device)?;
        let targets = match &rows.labels {
            EncodedLabels::Classes(classes) => {
                let known: Option<Vec<u32>> = classes.iter().copied().collect();
                StepTargets::Classes(known.ok_or(StepError::UnknownClass)?)
            }
            EncodedLabels::Numbers(numbers) => {
                let (shift, scale) = (targets.shift(), targets.scale());
                StepTargets::Numbers(numbers.iter().map(|number| ((number - shift) / scale) as f32).collect())
            }
        };
        Ok(Self { inputs, targets })
    }
}

/// Does step number `state.optimizer.step + 1` and raises the count; a non-finite step changes nothing, not even it.
pub fn step(network: &Network, state: &mut State, batch: &Batch, rule: &StepRule) -> Result<StepOutcome, StepError> {
    let number = state.optimizer.step + 1;
    let pass = forward(network, &state.parameters, &batch.inputs, Mode::Train { seed: rule.seed, step: number })?;
    let (mean, gradient) = loss::of_tensor(&pass.output, |outputs| batch.targets.mean_loss(outputs))?;
    if !mean.is_finite() {
        return Ok(StepOutcome::NonFinite { what: "loss".into() });
    }
    let statistics = pass.statistics.clone();
    let gradients = backward(network, &state.parameters, pass, &gradient)?;
    let squares = match squares(gradients.iter())? {
        Squares::Sum(squares) => squares,
        Squares::TooLarge(id) => return Ok(StepOutcome::NonFinite { what: format!("gradient of {id}") }),
    };
    if let Some(id) = first_beyond(statistics.iter(), f32::MAX)? {
        return Ok(StepOutcome::NonFinite { what: format!("statistic {id}") });
    }
    let terms = Terms {
        clip: clip_factor(squares, rule.clip_norm),
        average_decay: rule.average_decay,
        ..Terms::plain(number, rule.rate)
    };
    let decaying = if rule.rate.decay == 0.0 { BTreeSet::new() } else { weights(network) };
    // Everything new is collected first, so that whatever fails leaves the state as it was.
    let mut updated = Vec::with_capacity(gradients.len());
    for (id, gradient) in &gradients {
        let missing = || StepError::MissingMoments(id.to_string());
        let mut moments = state.optimizer.moments.get(id.as_str()).ok_or_else(missing)?.clone();
        let parameter = state.parameters.get(id).ok_or_else(missing)?;
        let decays = if decaying.contains(id) { Decays::Yes } else { Decays::No };
        let stepped = rule.optimizer.step(parameter, gradient, &mut moments, &Terms { decays, ..terms });
        let parameter = match stepped {
            Ok(parameter) => parameter,
            Err(UpdateError::Unsteppable(_)) => return Ok(StepOutcome::NonFinite { what: "learning rate".into() }),
            Err(UpdateError::Tensor(error)) => return Err(error.into()),
        };
        updated.push((id.clone(), parameter, moments));
    }
    for (id, parameter, moments) in updated {
        state.optimizer.moments.insert(id.to_string(), moments);
        state.parameters.insert(id, parameter);
    }
    state.parameters.extend(statistics);
    state.optimizer.step = number;
    Ok(StepOutcome::Done { loss: mean })
}

/// The parameters that weigh channels against each other.
fn weights(network: &Network) -> BTreeSet<ParameterId> {
    network.parameters().filter(|(_, spec)| spec.consumes().is_some()).map(|(id, _)| id).collect()
}

/// The training state of newly initialised parameters: empty moments for each trained one, all born at step 0.
pub fn first_state(network: &Network, parameters: Parameters, optimizer: &Optimizer) -> Result<State, StepError> {
    let mut moments = BTreeMap::new();
    for (id, spec) in network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained) {
        let parameter = parameters.get(&id).ok_or_else(|| StepError::MissingMoments(id.to_string()))?;
        let out_axis = spec.axes.iter().position(|role| *role == AxisRole::Out);
        let in_axis = spec.axes.iter().position(|role| role.consumes().is_some());
        moments.insert(id.to_string(), optimizer.moments(parameter, out_axis, in_axis, 0)?);
    }
    Ok(State { parameters, optimizer: OptimizerState { step: 0, moments } })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::Shape;
    use crate::network::builders::NetworkSpec;
    use crate::network::initialize::initialize;

    fn start(optimizer: Optimizer) -> (Network, State) {
        let network = NetworkSpec::Mlp { hidden: vec![8], dropout: 0.2 }.build(&Shape::flat(2), 2).unwrap();
        let parameters = initialize(&network, 1, &Device::Cpu).unwrap();
        let state = first_state(&network, parameters, &optimizer).unwrap();
        (network, state)
    }

    fn batch(values: [f32; 8]) -> Batch {
        let inputs = Tensor::from_slice(&values, (4, 2), &Device::Cpu).unwrap();
        Batch { inputs, targets: StepTargets::Classes(vec![0, 0, 1, 1]) }
    }

    const SEPARABLE: [f32; 8] = [1.0, 0.9, 0.8, 1.1, -1.0, -0.7, -0.9, -1.2];

    fn values(state: &State) -> Vec<(String, Vec<f32>)> {
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut all: Vec<_> = state.parameters.iter().map(|(id, value)| (id.to_string(), flat(value))).collect();
        for (id, moments) in &state.optimizer.moments {
            all.extend(moments.first.iter().chain(&moments.second).map(|value| (id.clone(), flat(value))));
        }
        all
    }

    #[test]
    fn steps_lower_the_loss_with_every_optimizer() {
        for (optimizer, learning_rate) in [(Optimizer::ADAM, 0.02), (Optimizer::SGD, 0.1), (Optimizer::RMSPROP, 0.01)] {
            let (network, mut state) = start(optimizer);
            let rule = StepRule::plain(optimizer, Rate::constant(learning_rate), 1);
            let mut losses = Vec::new();
            for _ in 0..60 {
                match step(&network, &mut state, &batch(SEPARABLE), &rule).unwrap() {
                    StepOutcome::Done { loss } => losses.push(loss),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(state.optimizer.step, 60);
            assert!(losses[59] < 0.3 * losses[0], "{optimizer:?}: {} to {}", losses[0], losses[59]);
        }
    }

    #[test]
    fn a_step_that_is_not_finite_changes_nothing() {
        let (network, mut state) = start(Optimizer::ADAM);
        let rule = StepRule::plain(Optimizer::ADAM, Rate::constant(0.01), 1);
        step(&network, &mut state, &batch(SEPARABLE), &rule).unwrap();
        let before = values(&state);
        let mut poisoned = SEPARABLE;
        poisoned[3] = f32::NAN;
        let huge = [1e30; 8];
        for rows in [poisoned, huge] {
            let outcome = step(&network, &mut state, &batch(rows), &rule).unwrap();
            assert!(matches!(outcome, StepOutcome::NonFinite { .. }), "{outcome:?}");
        }
        let wild = StepRule { rate: Rate::constant(f64::from(f32::MAX) * 1e10), ..rule };
        let outcome = step(&network, &mut state, &batch(SEPARABLE), &wild).unwrap();
        assert!(matches!(outcome, StepOutcome::NonFinite { ref what } if what == "learning rate"), "{outcome:?}");
        assert_eq!(values(&state), before);
        assert_eq!(state.optimizer.step, 1);
    }

    #[test]
    fn a_gradient_is_clipped_by_the_norm_of_all_parameters_together() {
        let optimizer = Optimizer::Sgd { momentum: 0.0 };
        let (network, start) = start(optimizer);
        let free = StepRule::plain(optimizer, Rate::constant(1.0), 1);
        let taken = |rule: &StepRule| {
            let mut state = start.clone();
            assert!(matches!(step(&network, &mut state, &batch(SEPARABLE), rule).unwrap(), StepOutcome::Done { .. }));
            // Without momentum the velocity is the gradient that the step went by.
            state
                .optimizer
                .moments
                .values()
                .flat_map(|moments| moments.first.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
                .map(f64::from)
                .collect::<Vec<f64>>()
        };
        let whole = taken(&free);
        let length = |gradient: &[f64]| gradient.iter().map(|number| number * number).sum::<f64>().sqrt();
        let norm = 0.25 * length(&whole);
        let clipped = taken(&StepRule { clip_norm: Some(norm), ..free });
        assert!((length(&clipped) - norm).abs() < 1e-6 * norm, "{} for {norm}", length(&clipped));
        assert!(clipped.iter().zip(&whole).all(|(one, other)| (one - 0.25 * other).abs() < 1e-6));
        assert_eq!(taken(&StepRule { clip_norm: Some(1.01 * length(&whole)), ..free }), whole, "a shorter one stays");
    }

    #[test]
    fn the_same_steps_give_the_same_bits() {
        let run = || {
            let (network, mut state) = start(Optimizer::ADAM);
            let rule = StepRule::plain(Optimizer::ADAM, Rate::constant(0.01), 7);
            for _ in 0..10 {
                step(&network, &mut state, &batch(SEPARABLE), &rule).unwrap();
            }
            values(&state)
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn running_statistics_move_with_the_steps() {
        let network = NetworkSpec::Cnn { channels: vec![2] }.build(&Shape::image(1, 4, 4), 2).unwrap();
        let parameters = initialize(&network, 1, &Device::Cpu).unwrap();
        let mut state = first_state(&network, parameters, &Optimizer::ADAM).unwrap();
        let statistics: Vec<ParameterId> =
            network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Statistic).map(|(id, _)| id).collect();
        assert!(!statistics.is_empty());
        assert!(statistics.iter().all(|id| !state.optimizer.moments.contains_key(id.as_str())));
        let read = |state: &State| -> Vec<Vec<f32>> {
            statistics.iter().map(|id| state.parameters[id].to_vec1().unwrap()).collect()
        };
        let before = read(&state);
        let values: Vec<f32> = (0..64).map(|index| index as f32 / 64.0).collect();
        let inputs = Tensor::from_slice(&values, (4, 1, 4, 4), &Device::Cpu).unwrap();
        let batch = Batch { inputs, targets: StepTargets::Classes(vec![0, 1, 0, 1]) };
        let rule = StepRule::plain(Optimizer::ADAM, Rate::constant(0.01), 1);
        step(&network, &mut state, &batch, &rule).unwrap();
        assert!(read(&state).iter().zip(&before).all(|(after, before)| after != before));
    }

    #[test]
    fn a_class_the_model_does_not_have_is_never_trained_on() {
        let rows = EncodedRows {
            seqs: vec![crate::stream::Seq(1)],
            shape: Shape::flat(1),
            values: vec![0.0],
            labels: EncodedLabels::Classes(vec![None]),
        };
        let targets = Targets::Classes { classes: vec!["a".into()] };
        assert!(matches!(Batch::of(&rows, &targets, &Device::Cpu), Err(StepError::UnknownClass)));
    }
}
