//! The program of predictions: parameters that stay as they are, laid as the kernels read them.
//!
//! Norms with fixed statistics are folded into the weights before them. Any number of threads may run it at once: each
//! batch takes a block of memory from those that earlier ones have left.

use std::sync::{Mutex, PoisonError};

use super::super::error::NetworkError;
use super::super::graph::{Network, NodeId};
use super::super::parameter::Parameters;
use super::super::shape::Shape;
use super::arena::{Arena, Slot};
use super::layout::ParameterLayout;
use super::lower::{Lowered, Purpose, Step, lower};
use super::plan::{Wanted, plan};
use crate::compute::kernels::{Crew, ForwardPass, Kernel, Place, channels_first, channels_last};
use crate::compute::vectors::Vectors;

/// The most numbers that the blocks kept for batches to come hold together: 64 MiB.
const KEPT_NUMBERS: usize = 1 << 24;

/// A network with its parameters, compiled for predictions.
#[derive(Debug)]
pub struct Servable {
    input: Shape,
    output: Place,
    steps: Vec<Prepared>,
    lives: Vec<Wanted>,
    values: (usize, usize),
    /// The vectors that the parameters are laid out for.
    vectors: Vectors,
    blocks: Mutex<Vec<Block>>,
}

/// A step whose parameters are its own.
#[derive(Debug)]
struct Prepared {
    step: Step,
    parameters: Vec<Vec<f32>>,
    prepared: Vec<f32>,
}

/// Memory for a batch of up to so many rows, and where everything lies in it.
#[derive(Debug)]
struct Block {
    rows: usize,
    arena: Arena,
    slots: Vec<Slot>,
}

impl Servable {
    /// Compiles a network with these parameters.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn compile(network: &Network, parameters: &Parameters) -> Result<Self, NetworkError> {
        let layout = ParameterLayout::of(network);
        let mut weights = vec![0.0; layout.len()];
        layout.write(parameters, &mut weights)?;
        let Lowered { values, steps, output } = lower(network, &layout, Purpose::Serving(&weights));
        let mut lives: Vec<Wanted> =
            values.iter().map(|place| Wanted { per_row: place.numbers(), per_batch: 0, born: 0, dies: 0 }).collect();
        for (at, step) in steps.iter().enumerate() {
            (lives[step.output].born, lives[step.output].dies) = (at, at);
            step.inputs.iter().for_each(|&value| lives[value].dies = at);
        }
        lives[output].dies = steps.len();
        let steps = steps.into_iter().map(|step| prepare(&layout, &weights, step)).collect();
        Ok(Self {
            input: network.input().clone(),
            output: values[output],
            steps,
            lives,
            values: (0, output),
            vectors: Vectors::widest(),
            blocks: Mutex::new(Vec::new()),
        })
    }

    /// The shape of one input row.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// The outputs `[rows, …output shape]` of a batch `[rows, …input shape]`, on the threads of a crew; the vectors are those
    /// that the network was compiled for.
    ///
    /// # Errors
    /// A batch that is not whole rows, or none.
    pub fn run(&self, batch: &[f32], crew: &Crew) -> Result<Vec<f32>, NetworkError> {
        self.run_seen(batch, crew, &mut |_, _| {})
    }

    /// [`Servable::run`], where `see` is told of every step that is done: its node, and what computed it. For a profile.
    ///
    /// # Errors
    /// Those of [`Servable::run`].
    pub fn run_seen(
        &self,
        batch: &[f32],
        crew: &Crew,
        see: &mut dyn FnMut(&NodeId, &dyn Kernel),
    ) -> Result<Vec<f32>, NetworkError> {
        let place = self.input.place();
        let rows = batch.len() / place.numbers();
        if rows == 0 || rows * place.numbers() != batch.len() {
            let reason = format!("{} numbers are no batch of rows of {}", batch.len(), self.input);
            return Err(NetworkError::Batch(reason));
        }
        let crew = &Crew { vectors: self.vectors, ..*crew };
        let mut block = self.block(rows);
        let open = block.arena.open();
        // SAFETY: the plan gives everything that lives at one step a place of its own, and this batch has the block alone.
        let output = unsafe {
            channels_last(batch, place, open.write(block.slots[self.values.0], rows), crew);
            for prepared in &self.steps {
                let step = &prepared.step;
                let inputs: Vec<&[f32]> = step.inputs.iter().map(|&at| open.read(block.slots[at], rows)).collect();
                let parameters: Vec<&[f32]> = prepared.parameters.iter().map(Vec::as_slice).collect();
                step.kernel.forward(ForwardPass {
                    rows,
                    training: None,
                    inputs: &inputs,
                    parameters: &parameters,
                    prepared: &prepared.prepared,
                    output: open.write(block.slots[step.output], rows),
                    saved: &mut [],
                    statistics: &mut [],
                    crew,
                });
                see(&step.node, &*step.kernel);
            }
            open.read(block.slots[self.values.1], rows)
        };
        let mut result = vec![0.0; output.len()];
        channels_first(output, self.output, &mut result, crew);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.iter().map(|kept| kept.arena.len()).sum::<usize>() + block.arena.len() <= KEPT_NUMBERS {
            blocks.push(block);
        }
        Ok(result)
    }

    /// Leaves nothing in the blocks of earlier batches.
    #[cfg(test)]
    pub(super) fn spoil(&self) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter_mut().for_each(|block| block.arena.spoil());
    }

    /// A block with room for so many rows and less than twice as many: one that was left, or a new one. So blocks are of
    /// few sizes, and batches of any size find them again.
    fn block(&self, rows: usize) -> Block {
        let rows = rows.next_power_of_two();
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = blocks.iter().position(|block| block.rows == rows) {
            return blocks.swap_remove(at);
        }
        drop(blocks);
        let (slots, length) = plan(&self.lives, rows);
        Block { rows, arena: Arena::new(length), slots }
    }
}

/// A step with the parameters it will always have.
fn prepare(layout: &ParameterLayout, weights: &[f32], mut step: Step) -> Prepared {
    let of = |at: &usize| weights[layout.placed()[*at].range.clone()].to_vec();
    let mut parameters: Vec<Vec<f32>> = step.parameters.iter().map(of).collect();
    if let Some((factors, shifts)) = step.folded.take() {
        let row = parameters[0].len() / factors.len();
        for (row, factor) in parameters[0].chunks_exact_mut(row).zip(&factors) {
            row.iter_mut().for_each(|weight| *weight *= factor);
        }
        for (bias, (factor, shift)) in parameters[1].iter_mut().zip(factors.iter().zip(&shifts)) {
            *bias = *bias * factor + shift;
        }
    }
    let crew = Crew::alone();
    let mut prepared = vec![0.0; step.kernel.prepared(crew.vectors.lanes())];
    let slices: Vec<&[f32]> = parameters.iter().map(Vec::as_slice).collect();
    step.kernel.prepare(&slices, &crew, &mut prepared);
    if !prepared.is_empty() {
        parameters[0] = Vec::new();
    }
    Prepared { step, parameters, prepared }
}
