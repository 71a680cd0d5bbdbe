//! What a trainer has learned: its network's training state, held as whoever used it last needs it.
//!
//! Steps on the CPU run on an [`Engine`], flat and updated in place; growth, settings and other devices work with tensors.
//! There is one of the two at a time, and going from one to the other changes no number. Owned by the trainer.

use std::borrow::Cow;

use super::averages;
use super::encoded::EncodedRows;
use super::engine::Engine;
use super::evaluation::by_tensors;
use super::memory;
use super::rescale::{Rescaling, rescale};
use super::settings::TrainingSettings;
use super::step::{Batch, StepError, StepOutcome, StepRule, step};
use crate::compute::memory::Memory;
use crate::growth::State;
use crate::network::program::TrainingProgram;
use crate::network::{Network, NetworkError, Parameters};

/// Rows that are evaluated together where nothing was stepped yet: not more than most batches have, so that an engine rarely
/// has room that its steps do not need. One that is there evaluates as many as it has room for; the bits are the same.
const ROWS_OF_AN_EVALUATION: usize = 16;

/// A training state.
#[derive(Debug)]
pub enum Learned {
    /// As tensors.
    Tensors(State),
    /// As the CPU steps it.
    Engine(Box<Engine>),
}

impl Default for Learned {
    fn default() -> Self {
        Self::Tensors(State::default())
    }
}

impl Learned {
    /// How many steps were done.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Tensors(state) => state.optimizer.step,
            Self::Engine(engine) => engine.steps(),
        }
    }

    /// What a step of this network holds, or would.
    pub fn memory(&self, network: &Network, settings: &TrainingSettings) -> Memory {
        match self {
            Self::Engine(engine) => engine.memory(),
            Self::Tensors(state) if is_on_cpu(state) => memory::of_step(network, settings),
            Self::Tensors(_) => memory::of_tensors(network, settings),
        }
    }

    /// The state, to look at as a whole; copied if need be.
    pub fn state(&self) -> Result<Cow<'_, State>, NetworkError> {
        match self {
            Self::Tensors(state) => Ok(Cow::Borrowed(state)),
            Self::Engine(engine) => engine.state().map(Cow::Owned),
        }
    }

    /// The state as tensors, to be worked on: held so until the next step.
    pub fn tensors(&mut self) -> Result<&mut State, NetworkError> {
        if let Self::Engine(engine) = self {
            *self = Self::Tensors(engine.state()?);
        }
        match self {
            Self::Tensors(state) => Ok(state),
            Self::Engine(_) => unreachable!("it has just become tensors"),
        }
    }

    /// The weights that a version of it has.
    pub fn published(&self) -> Result<Cow<'_, Parameters>, NetworkError> {
        match self {
            Self::Tensors(state) => Ok(averages::published(state)),
            Self::Engine(engine) => engine.published().map(Cow::Owned),
        }
    }

    /// Does the next step of this network: see [`step`].
    pub fn step(&mut self, network: &Network, batch: &Batch, rule: &StepRule) -> Result<StepOutcome, StepError> {
        match self.prepare(network, batch.inputs.dim(0)?)? {
            Self::Engine(engine) => engine.step(batch, rule),
            Self::Tensors(state) => step(network, state, batch, rule),
        }
    }

    /// What steps and evaluates this network: an engine with room for so many rows, or tensors on another device. On the
    /// CPU always the engine, so that a number does not depend on what was done before.
    fn prepare(&mut self, network: &Network, rows: usize) -> Result<&mut Self, StepError> {
        match self {
            Self::Engine(engine) => engine.make_room(network, rows),
            Self::Tensors(state) if is_on_cpu(state) => {
                let program = TrainingProgram::compile(network, rows);
                *self = Self::Engine(Box::new(Engine::load(program, state)?));
            }
            Self::Tensors(_) => {}
        }
        Ok(self)
    }

    /// The outputs of encoded rows in evaluation mode, with the newest weights.
    pub fn evaluate(&mut self, network: &Network, rows: &EncodedRows) -> Result<Vec<f32>, StepError> {
        let room = match self {
            Self::Engine(_) => 1,
            Self::Tensors(_) => rows.len().clamp(1, ROWS_OF_AN_EVALUATION),
        };
        match self.prepare(network, room)? {
            Self::Engine(engine) => Ok(engine.evaluate(&rows.values, rows.shape.elements())),
            Self::Tensors(state) => {
                let device = state.parameters.values().next().map_or(&candle_core::Device::Cpu, |one| one.device());
                Ok(by_tensors(network, &state.parameters, rows, device)?)
            }
        }
    }

    /// Moves the last layer and all moments against a change of the targets' statistics: see [`rescale`].
    pub fn rescale(&mut self, network: &Network, rescaling: &Rescaling) -> Result<(), NetworkError> {
        match self {
            Self::Tensors(state) => rescale(network, state, rescaling),
            Self::Engine(engine) => engine.rescale(network, rescaling),
        }
    }
}

fn is_on_cpu(state: &State) -> bool {
    state.parameters.values().all(|one| one.device().is_cpu())
}
