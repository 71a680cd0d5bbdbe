//! The program of a training step: a batch forward, and back from the gradient of its loss.

use std::ops::Range;

use super::super::graph::{Network, NodeId};
use super::super::shape::Shape;
use super::arena::{Arena, Open, Slot};
use super::layout::ParameterLayout;
use super::lower::{Purpose, Step, lower};
use super::plan::{Wanted, plan};
use crate::compute::kernels::{
    Arrival, BackwardPass, Crew, Draw, ForwardPass, Kernel, Place, channels_first, channels_last,
};

/// What a slice of gradients holds after both passes, in the layout of the parameters: the gradient of every trained
/// parameter, and in the place of every running statistic its new value.
pub type Gradients = [f32];

/// A network compiled for training on batches of up to a number of rows.
#[derive(Debug)]
pub struct TrainingProgram {
    layout: ParameterLayout,
    input: Shape,
    output: Place,
    steps: Vec<Planned>,
    /// The slots of the batch, of the network's output and of the gradient by it.
    batch: Slot,
    result: (Slot, Slot),
    rows: usize,
    arena: Arena,
    /// Numbers of one row's values: the input and every step's output.
    values: usize,
}

/// A step with its places.
#[derive(Debug)]
struct Planned {
    step: Step,
    inputs: Vec<Slot>,
    output: Slot,
    saved: Slot,
    gradient: Slot,
    /// For each input where its gradient goes, if anything below learns.
    below: Vec<Option<Below>>,
    /// Whether the backward pass has anything to do here.
    returns: bool,
    /// The ranges of the parameters in the layout.
    parameters: Vec<Range<usize>>,
}

/// Where the gradient by an input goes.
#[derive(Debug, Clone, Copy)]
enum Below {
    /// Written here as the first.
    First(Slot),
    /// Added here.
    Further(Slot),
    /// Left where the gradient by the output is.
    InPlace,
}

impl TrainingProgram {
    /// Compiles a network for batches of up to `rows` rows.
    pub fn compile(network: &Network, rows: usize) -> Self {
        let (mut program, length) = Self::laid(network, rows);
        program.arena = Arena::new(length);
        program
    }

    /// Numbers that the values of a batch of `rows` rows take and that a program for it works with: [`Self::activations`]
    /// and [`Self::working`] of it, without taking the memory.
    pub fn sizes(network: &Network, rows: usize) -> (usize, usize) {
        let (program, length) = Self::laid(network, rows);
        (program.activations(), Arena::taken(length))
    }

    /// A program without its block, and how long that is to be.
    fn laid(network: &Network, rows: usize) -> (Self, usize) {
        let layout = ParameterLayout::of(network);
        let lowered = lower(network, &layout, Purpose::Training);
        let Schedule { wants, gradients, saved, values, returning } =
            Schedule::of(&lowered.steps, &lowered.values, lowered.output);
        let (slots, length) = plan(&wants, rows);
        let mut met = vec![false; lowered.values.len()];
        met[lowered.output] = true;
        let mut below = Vec::with_capacity(lowered.steps.len());
        for (at, step) in lowered.steps.iter().enumerate().rev() {
            let arrival = |&value: &usize| {
                let slot = slots[gradients[value]?];
                if !returning[at] {
                    return None;
                }
                let first = !std::mem::replace(&mut met[value], true);
                // Both share a place only where the schedule found that it may be so.
                let here = gradients[value] == gradients[step.output];
                Some(if here {
                    Below::InPlace
                } else if first {
                    Below::First(slot)
                } else {
                    Below::Further(slot)
                })
            };
            let arrivals: Vec<_> = step.inputs.iter().map(arrival).collect();
            below.push(arrivals);
        }
        below.reverse();
        let output = lowered.output;
        let result = (slots[values[output]], gradients[output].map_or(Slot::default(), |at| slots[at]));
        let place = lowered.values[output];
        let numbers = lowered.values.iter().map(Place::numbers).sum();
        let steps = lowered.steps.into_iter().zip(below).enumerate();
        let planned = steps.map(|(at, (step, below))| Planned {
            inputs: step.inputs.iter().map(|&value| slots[values[value]]).collect(),
            output: slots[values[step.output]],
            saved: slots[saved[at]],
            gradient: gradients[step.output].map_or(Slot::default(), |at| slots[at]),
            below,
            returns: returning[at],
            parameters: step.parameters.iter().map(|&at| layout.placed()[at].range.clone()).collect(),
            step,
        });
        let program = Self {
            steps: planned.collect(),
            input: network.input().clone(),
            output: place,
            batch: slots[values[0]],
            result,
            rows,
            arena: Arena::default(),
            values: numbers,
            layout,
        };
        (program, length)
    }

    /// Where every parameter lies in the slices that the program is run with.
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// The most rows of a batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a batch of all rows and of every step's output for it.
    pub fn activations(&self) -> usize {
        self.values * self.rows
    }

    /// Numbers that the program keeps for values, their gradients and its notes together.
    pub fn working(&self) -> usize {
        self.arena.len()
    }

    /// Both passes of a batch `[rows, …input shape]` as its tensor lies. `loss` is given the network's output, row by row
    /// and channels last, writes the gradient of the loss by it into the second slice, and says whether to go on. Then
    /// `gradients` holds what [`Gradients`] says.
    ///
    /// # Panics
    /// A batch of more rows than it was compiled for, slices that are not of its layout.
    pub fn run(
        &mut self,
        (weights, gradients): (&[f32], &mut Gradients),
        batch: &[f32],
        (seed, step): (u64, u64),
        loss: impl FnOnce(&[f32], &mut [f32]) -> bool,
    ) -> bool {
        self.run_seen((weights, gradients), batch, (seed, step), loss, &mut |_, _| {})
    }

    /// [`TrainingProgram::run`], where `see` is told of every kernel call that is done, forward and then backward: its node,
    /// and what computed it. For a profile.
    pub fn run_seen(
        &mut self,
        (weights, gradients): (&[f32], &mut Gradients),
        batch: &[f32],
        (seed, step): (u64, u64),
        loss: impl FnOnce(&[f32], &mut [f32]) -> bool,
        see: &mut dyn FnMut(&NodeId, &dyn Kernel),
    ) -> bool {
        let rows = self.enter(batch);
        let crew = Crew::of_pool();
        let open = self.arena.open();
        for planned in &self.steps {
            let draw = Draw { seed, step, node: planned.step.node.as_str() };
            planned.forward(open, rows, (weights, gradients), Some(draw), &crew);
            see(&planned.step.node, &*planned.step.kernel);
        }
        // SAFETY: the plan gives the output and its gradient places of their own.
        let (output, gradient) = unsafe { (open.read(self.result.0, rows), open.write(self.result.1, rows)) };
        if !loss(output, gradient) {
            return false;
        }
        for planned in self.steps.iter().rev().filter(|planned| planned.returns) {
            planned.backward(open, rows, (weights, gradients), &crew);
            see(&planned.step.node, &*planned.step.kernel);
        }
        true
    }

    /// The network's output for a batch in evaluation mode, `[rows, …output shape]`; no gradient, no statistics.
    pub fn evaluate(&mut self, weights: &[f32], batch: &[f32]) -> Vec<f32> {
        let rows = self.enter(batch);
        let crew = Crew::of_pool();
        let open = self.arena.open();
        for planned in &self.steps {
            planned.forward(open, rows, (weights, &mut []), None, &crew);
        }
        // SAFETY: nothing is written any more.
        let output = unsafe { open.read(self.result.0, rows) };
        let mut result = vec![0.0; output.len()];
        channels_first(output, self.output, &mut result, &crew);
        result
    }

    /// Leaves nothing of what it worked with.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.arena.spoil();
    }

    /// Lays a batch in its place; how many rows it has.
    fn enter(&mut self, batch: &[f32]) -> usize {
        let place = self.input.place();
        let rows = batch.len() / place.numbers();
        assert!(rows <= self.rows && rows * place.numbers() == batch.len(), "a batch fits its program");
        let open = self.arena.open();
        // SAFETY: nothing runs yet.
        channels_last(batch, place, unsafe { open.write(self.batch, rows) }, &Crew::of_pool());
        rows
    }
}

impl Planned {
    fn forward(
        &self,
        open: Open<'_>,
        rows: usize,
        (weights, gradients): (&[f32], &mut Gradients),
        training: Option<Draw<'_>>,
        crew: &Crew,
    ) {
        // SAFETY: the plan gives everything that lives during this step a place of its own.
        let (inputs, output) = unsafe {
            let inputs: Vec<&[f32]> = self.inputs.iter().map(|&slot| open.read(slot, rows)).collect();
            (inputs, open.write(self.output, rows))
        };
        // SAFETY: as above.
        let saved = if training.is_some() { unsafe { open.write(self.saved, rows) } } else { &mut [] };
        let parameters: Vec<&[f32]> = self.parameters.iter().map(|range| &weights[range.clone()]).collect();
        let mut statistics = if training.is_some() { parts(gradients, &self.parameters) } else { Vec::new() };
        self.step.kernel.forward(ForwardPass {
            rows,
            training,
            inputs: &inputs,
            parameters: &parameters,
            prepared: &[],
            output,
            saved,
            statistics: &mut statistics,
            crew,
        });
    }

    fn backward(&self, open: Open<'_>, rows: usize, (weights, gradients): (&[f32], &mut Gradients), crew: &Crew) {
        let needs = self.step.kernel.needs();
        // SAFETY: the plan gives everything that lives during this step a place of its own; what the kernel does not need
        // may be gone and is not read.
        let (inputs, output, saved, gradient) = unsafe {
            let input = |&slot| if needs.inputs { open.read(slot, rows) } else { &[] };
            let inputs: Vec<&[f32]> = self.inputs.iter().map(input).collect();
            let output: &[f32] = if needs.output { open.read(self.output, rows) } else { &[] };
            (inputs, output, open.read(self.saved, rows), open.write(self.gradient, rows))
        };
        let arrival = |below: &Option<Below>| match *below {
            None => Arrival::Unwanted,
            Some(Below::InPlace) => Arrival::InPlace,
            // SAFETY: as above; no value enters a step twice.
            Some(Below::First(slot)) => Arrival::First(unsafe { open.write(slot, rows) }),
            // SAFETY: as above.
            Some(Below::Further(slot)) => Arrival::Further(unsafe { open.write(slot, rows) }),
        };
        let mut input_gradients: Vec<Arrival<'_>> = self.below.iter().map(arrival).collect();
        let parameters: Vec<&[f32]> = self.parameters.iter().map(|range| &weights[range.clone()]).collect();
        let mut before: Vec<Vec<f32>> = Vec::new();
        if self.step.shared {
            before = self.parameters.iter().map(|range| gradients[range.clone()].to_vec()).collect();
        }
        self.step.kernel.backward(BackwardPass {
            rows,
            inputs: &inputs,
            parameters: &parameters,
            output,
            saved,
            gradient,
            input_gradients: &mut input_gradients,
            parameter_gradients: &mut parts(gradients, &self.parameters),
            crew,
        });
        for (range, before) in self.parameters.iter().zip(before) {
            gradients[range.clone()].iter_mut().zip(before).for_each(|(sum, number)| *sum += number);
        }
    }
}

/// Ascending, disjoint parts of a slice.
fn parts<'a>(mut slice: &'a mut [f32], ranges: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(ranges.len());
    let mut start = 0;
    for range in ranges {
        let (before, after) = slice.split_at_mut(range.end - start);
        parts.push(&mut before[range.start - start..]);
        (slice, start) = (after, range.end);
    }
    parts
}

/// When everything of a training pass lives: forward steps at 0.., the loss, backward steps after it.
struct Schedule {
    wants: Vec<Wanted>,
    /// Of every value the want of its gradient, if something at or below it learns.
    gradients: Vec<Option<usize>>,
    /// Of every step the want of what it saves.
    saved: Vec<usize>,
    /// Of every value its own want.
    values: Vec<usize>,
    /// Of every step whether it takes part in the backward pass.
    returning: Vec<bool>,
}

impl Schedule {
    fn of(steps: &[Step], places: &[Place], output: usize) -> Self {
        let count = steps.len();
        let back = |step: usize| 2 * count - step;
        let mut learns = vec![false; places.len()];
        for step in steps {
            learns[step.output] = step.learns || step.inputs.iter().any(|&value| learns[value]);
        }
        let returning: Vec<bool> = steps.iter().map(|step| learns[step.output]).collect();
        let mut lives: Vec<(usize, usize)> = vec![(0, 0); places.len()];
        let mut arrivals: Vec<Option<usize>> = vec![None; places.len()];
        arrivals[output] = Some(count);
        for (at, step) in steps.iter().enumerate() {
            let needs = step.kernel.needs();
            let last = |needed: bool| if needed && returning[at] { back(at) } else { at };
            lives[step.output] = (at, last(needs.output));
            for &value in &step.inputs {
                lives[value].1 = lives[value].1.max(last(needs.inputs));
                if returning[at] {
                    arrivals[value] = Some(arrivals[value].map_or(back(at), |first| first.min(back(at))));
                }
            }
        }
        lives[output].1 = lives[output].1.max(count);
        let mut wants = Vec::new();
        let mut want = |per_row, per_batch, born, dies| {
            wants.push(Wanted { per_row, per_batch, born, dies });
            wants.len() - 1
        };
        let values = places.iter().zip(&lives).map(|(place, &(born, dies))| want(place.numbers(), 0, born, dies));
        let values: Vec<usize> = values.collect();
        let saved = steps.iter().enumerate().map(|(at, step)| {
            let dies = if returning[at] { back(at) } else { at };
            want(step.kernel.saved_per_row(), step.kernel.saved_per_batch(), at, dies)
        });
        let saved: Vec<usize> = saved.collect();
        let mut maker = vec![None; places.len()];
        steps.iter().enumerate().for_each(|(at, step)| maker[step.output] = Some(at));
        // Of every value the value in whose gradient's place its own may be left.
        let mut heir: Vec<Option<usize>> = vec![None; places.len()];
        for step in steps {
            if let Some(&value) = step.kernel.passes_on().and_then(|index| step.inputs.get(index)) {
                heir[value] = Some(step.output).filter(|_| value != output);
            }
        }
        let back_of = |value: usize| maker[value].map_or(0, back);
        // From the last value to the first, so that what a gradient is left in has its place already.
        let mut gradients: Vec<Option<usize>> = vec![None; places.len()];
        for value in (0..places.len()).rev() {
            // The loss writes its gradient even where nothing learns from it.
            let dies = maker[value].filter(|_| learns[value]).map(back).or((value == output).then_some(count));
            let (Some(born), Some(dies)) = (arrivals[value], dies) else { continue };
            let above = heir[value].filter(|&above| back_of(above) == born).and_then(|above| gradients[above]);
            gradients[value] = Some(match above {
                Some(shared) => {
                    wants[shared].dies = wants[shared].dies.max(dies);
                    shared
                }
                None => {
                    wants.push(Wanted { per_row: places[value].numbers(), per_batch: 0, born, dies });
                    wants.len() - 1
                }
            });
        }
        Self { wants, gradients, saved, values, returning }
    }
}
