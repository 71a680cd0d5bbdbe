//! The training state of a network on the CPU: flat slices that a compiled program reads and the optimizer updates in place.
//!
//! Invariant: what enters is finite and stays so: a step looks at its loss, gradients and new statistics before anything
//! moves, and the update itself saturates ([`crate::compute::optimizer`]). A step that meets a number that is not finite
//! changes nothing. Owned by [`super::learned`], run on the trainer's pool.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Device, Tensor};

use super::rescale::{Rescaling, last_layer, no_last_layer};
use super::step::{Batch, StepError, StepOutcome, StepRule};
use crate::compute::finite::{fits, lend};
use crate::compute::kernels::{Crew, Shared};
use crate::compute::memory::Memory;
use crate::compute::optimizer::{
    AxisBirths, Decays, Moments, OptimizerState, Run, Span, Terms, clip_factor, norm_and_check,
};
use crate::growth::State;
use crate::network::program::{TrainingProgram, copy_numbers};
use crate::network::{Network, NetworkError, ParameterId, ParameterKind, Parameters};

/// Elements of a piece that one thread updates: their arrays together stay in its own cache.
const PIECE: usize = 1 << 14;

/// Operations that an element of an update takes, roughly: it is bound by memory.
const UPDATE_OPERATIONS: usize = 64;

/// A network's training state, laid out for its program.
#[derive(Debug)]
pub struct Engine {
    program: TrainingProgram,
    weights: Vec<f32>,
    /// After a step's passes: gradients, and new values of running statistics.
    gradients: Vec<f32>,
    /// Empty where the optimizer has no such moments, or where no averages are kept.
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
    /// The births of every trained parameter, by its place in the layout.
    births: BTreeMap<usize, Births>,
    /// What is updated alike, in order, cut into pieces.
    pieces: Vec<Piece>,
    /// Steps done.
    steps: u64,
}

/// The births along the axes of a parameter.
#[derive(Debug, Clone)]
struct Births {
    out_births: Option<AxisBirths>,
    in_births: Option<AxisBirths>,
}

/// Elements of one parameter that were born together.
#[derive(Debug, Clone)]
struct Piece {
    range: Range<usize>,
    birth: u64,
    decays: Decays,
    /// Its place in the layout.
    parameter: usize,
}

impl Engine {
    /// Lays a state out for a program of its network.
    ///
    /// # Errors
    /// Parameters or moments that are not those of the network, moments of which some have an average and some have none.
    pub fn load(program: TrainingProgram, state: &State) -> Result<Self, StepError> {
        let layout = program.layout();
        let zeros = || vec![0.0; layout.len()];
        let mut weights = zeros();
        layout.write(&state.parameters, &mut weights)?;
        let any =
            |of: fn(&Moments) -> &Option<Tensor>| match state.optimizer.moments.values().any(|one| of(one).is_some()) {
                true => zeros(),
                false => Vec::new(),
            };
        let (mut first, mut second) = (any(|moments| &moments.first), any(|moments| &moments.second));
        let mut average = any(|moments| &moments.average);
        let (mut births, mut pieces) = (BTreeMap::new(), Vec::new());
        let trained = layout.placed().iter().enumerate().filter(|(_, placed)| placed.kind == ParameterKind::Trained);
        for (at, placed) in trained {
            let missing = || StepError::MissingMoments(placed.id.to_string());
            let moments = state.optimizer.moments.get(placed.id.as_str()).ok_or_else(missing)?;
            for (to, moment) in
                [(&mut first, &moments.first), (&mut second, &moments.second), (&mut average, &moments.average)]
            {
                match moment {
                    _ if to.is_empty() => {}
                    Some(moment) if moment.dims() == placed.dims => {
                        copy_numbers(moment, &mut to[placed.range.clone()])?
                    }
                    _ => return Err(missing()),
                }
            }
            let decays = if placed.weighs { Decays::Yes } else { Decays::No };
            for Span { start, end, birth } in moments.spans(&placed.dims)? {
                for start in (start..end).step_by(PIECE) {
                    let range = placed.range.start + start..placed.range.start + end.min(start + PIECE);
                    pieces.push(Piece { range, birth, decays, parameter: at });
                }
            }
            let Moments { out_births, in_births, .. } = moments.clone();
            births.insert(at, Births { out_births, in_births });
        }
        let gradients = zeros();
        let steps = state.optimizer.step;
        Ok(Self { weights, gradients, first, second, average, births, pieces, steps, program })
    }

    /// How many steps were done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sees to it that batches of so many rows have room.
    pub fn make_room(&mut self, network: &Network, rows: usize) {
        if rows > self.program.rows() {
            self.program = TrainingProgram::compile(network, rows);
        }
    }

    /// What it holds. What kernels borrow of their threads while they run is the threads', whichever network they work on.
    pub fn memory(&self) -> Memory {
        let bytes = |numbers: usize| (size_of::<f32>() * numbers) as u64;
        let births = self.births.values().flat_map(|one| [&one.out_births, &one.in_births]).flatten();
        let births: usize = births.map(|births| size_of_val(&births.steps[..])).sum();
        let (activations, working) = (self.program.activations(), self.program.working());
        Memory {
            weights: bytes(self.weights.len()),
            gradients: bytes(self.gradients.len()),
            optimizer: bytes(self.first.len() + self.second.len() + self.average.len()) + births as u64,
            activations: bytes(activations),
            scratch: bytes(working.saturating_sub(activations)),
        }
    }

    /// The weights as tensors, copied.
    pub fn parameters(&self) -> Result<Parameters, NetworkError> {
        self.program.layout().read(&self.weights)
    }

    /// What a version of this state has: averages where they are kept.
    pub fn published(&self) -> Result<Parameters, NetworkError> {
        let mut parameters = self.parameters()?;
        if !self.average.is_empty() {
            for &at in self.births.keys() {
                let placed = &self.program.layout().placed()[at];
                parameters.insert(placed.id.clone(), self.tensor(&self.average, at)?);
            }
        }
        Ok(parameters)
    }

    /// The whole state as tensors, copied.
    pub fn state(&self) -> Result<State, NetworkError> {
        let mut moments = BTreeMap::new();
        for (&at, births) in &self.births {
            let of = |slice: &[f32]| if slice.is_empty() { Ok(None) } else { self.tensor(slice, at).map(Some) };
            let one = Moments {
                first: of(&self.first)?,
                second: of(&self.second)?,
                average: of(&self.average)?,
                out_births: births.out_births.clone(),
                in_births: births.in_births.clone(),
            };
            moments.insert(self.program.layout().placed()[at].id.to_string(), one);
        }
        Ok(State { parameters: self.parameters()?, optimizer: OptimizerState { step: self.steps, moments } })
    }

    fn tensor(&self, slice: &[f32], at: usize) -> candle_core::Result<Tensor> {
        let placed = &self.program.layout().placed()[at];
        Tensor::from_slice(&slice[placed.range.clone()], placed.dims.as_slice(), &Device::Cpu)
    }

    /// The outputs of rows in evaluation mode, with the newest weights.
    pub fn evaluate(&mut self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut outputs = Vec::new();
        for rows in rows.chunks(width * self.program.rows()) {
            outputs.extend(self.program.evaluate(&self.weights, rows));
        }
        outputs
    }

    /// Does the next step; one that meets a number that is not finite changes nothing.
    pub fn step(&mut self, batch: &Batch, rule: &StepRule) -> Result<StepOutcome, StepError> {
        let number = self.steps + 1;
        let mut mean = Ok(f64::NAN);
        let (program, weights, gradients) = (&mut self.program, &self.weights, &mut self.gradients);
        lend(&batch.inputs, |inputs| {
            program.run((weights, gradients), inputs, (rule.seed, number), |output, gradient| {
                gradient.copy_from_slice(output);
                mean = batch.targets.mean_loss(gradient);
                mean.as_ref().is_ok_and(|mean| mean.is_finite())
            })
        })?;
        let mean = mean?;
        if !mean.is_finite() {
            return Ok(StepOutcome::NonFinite { what: "loss".into() });
        }
        let squares = match self.squares() {
            Ok(squares) => squares,
            Err(id) => return Ok(StepOutcome::NonFinite { what: format!("gradient of {id}") }),
        };
        if let Some(id) = self.infinite_statistic() {
            return Ok(StepOutcome::NonFinite { what: format!("statistic {id}") });
        }
        let terms = Terms {
            clip: clip_factor(squares, rule.clip_norm),
            average_decay: rule.average_decay,
            ..Terms::plain(number, rule.rate)
        };
        if !self.update(rule, &terms) {
            return Ok(StepOutcome::NonFinite { what: "learning rate".into() });
        }
        self.steps = number;
        Ok(StepOutcome::Done { loss: mean })
    }

    /// Leaves nothing of what the last step worked with.
    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        self.program.spoil();
        self.gradients.fill(f32::NAN);
    }

    fn crew_and_operations(&self) -> (Crew, usize) {
        (Crew::of_pool(), UPDATE_OPERATIONS * self.weights.len())
    }

    /// The sum of the squares of all gradients, or the parameter that has one that is no number for a step.
    fn squares(&self) -> Result<f64, ParameterId> {
        let mut sums = vec![0.0f64; self.pieces.len()];
        let (crew, operations) = self.crew_and_operations();
        crew.fill(&mut sums, operations / 4, |at| norm_and_check(&self.gradients[self.pieces[at].range.clone()]));
        let mut squares = 0.0;
        for (sum, piece) in sums.iter().zip(&self.pieces) {
            squares += sum;
            if !squares.is_finite() {
                return Err(self.program.layout().placed()[piece.parameter].id.clone());
            }
        }
        Ok(squares)
    }

    fn infinite_statistic(&self) -> Option<&ParameterId> {
        let mut statistics = self.statistics();
        statistics.find(|(_, range)| !fits(&self.gradients[range.clone()], f32::MAX)).map(|(id, _)| id)
    }

    fn statistics(&self) -> impl Iterator<Item = (&ParameterId, Range<usize>)> {
        let placed = self.program.layout().placed().iter();
        placed.filter(|placed| placed.kind == ParameterKind::Statistic).map(|placed| (&placed.id, placed.range.clone()))
    }

    /// Updates everything; nothing, and `false`, if the terms of a step cannot be done with finite numbers.
    fn update(&mut self, rule: &StepRule, terms: &Terms) -> bool {
        let mut constants = Vec::with_capacity(self.pieces.len());
        let mut last = None;
        for piece in &self.pieces {
            let key = (piece.birth, piece.decays);
            let of_piece = match last {
                Some((known, constants)) if known == key => constants,
                _ => match rule.optimizer.constants(&Terms { decays: piece.decays, ..*terms }, piece.birth) {
                    Ok(constants) => constants,
                    Err(_) => return false,
                },
            };
            last = Some((key, of_piece));
            constants.push(of_piece);
        }
        let averaged = terms.average_decay > 0.0 && !self.average.is_empty();
        let (crew, operations) = self.crew_and_operations();
        let Self { weights, gradients, first, second, average, pieces, .. } = self;
        let kept = [true, !first.is_empty(), !second.is_empty(), averaged];
        let slices = [weights, first, second, average].map(|slice| Shared::new(slice));
        let slices: [(bool, Shared<'_>); 4] = std::array::from_fn(|at| (kept[at], slices[at]));
        crew.each(pieces.len(), operations, |at| {
            let range = pieces[at].range.clone();
            let [parameter, first, second, average] = slices.map(|(kept, slice)| {
                // SAFETY: pieces do not overlap.
                unsafe { slice.part(if kept { range.clone() } else { 0..0 }) }
            });
            constants[at].step(Run { parameter, gradient: &gradients[range.clone()], first, second, average });
        });
        let statistics: Vec<Range<usize>> = self.statistics().map(|(_, range)| range).collect();
        for range in statistics {
            self.weights[range.clone()].copy_from_slice(&self.gradients[range]);
        }
        true
    }

    /// Moves the output layer and all moments against a change of the targets' statistics, as [`super::rescale`] says.
    pub fn rescale(&mut self, network: &Network, rescaling: &Rescaling) -> Result<(), NetworkError> {
        let Rescaling { ratio, shift } = *rescaling;
        let layout = self.program.layout();
        let ranges = last_layer(network).map(|id| layout.position(&id).map(|at| layout.placed()[at].range.clone()));
        let [Some(weight), Some(bias)] = ranges else { return Err(no_last_layer(network)) };
        let affine = |slice: &mut [f32], ratio: f64, shift: f64| {
            slice.iter_mut().for_each(|number| *number = *number * ratio as f32 + shift as f32);
        };
        for slice in [&mut self.weights, &mut self.average] {
            if !slice.is_empty() {
                affine(&mut slice[weight.clone()], ratio, 0.0);
                affine(&mut slice[bias.clone()], ratio, shift);
            }
        }
        for (slice, power) in [(&mut self.first, 1), (&mut self.second, 2)] {
            let last = [weight.clone(), bias.clone()].map(|range| slice.get(range).map(<[f32]>::to_vec));
            affine(slice, (ratio * ratio).powi(power), 0.0);
            for (range, mut numbers) in [weight.clone(), bias.clone()].into_iter().zip(last.into_iter().flatten()) {
                affine(&mut numbers, ratio.powi(power), 0.0);
                slice[range].copy_from_slice(&numbers);
            }
        }
        Ok(())
    }
}
