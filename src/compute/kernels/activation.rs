//! The activations: one function of a number, applied to every number of a batch.

use std::fmt::Debug;

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::{PIECE, Put};
use crate::compute::vectors::{Loop, widest};

/// A function of one number. `value` and `slope` are `#[inline(always)]` and free of branches that are no choice between
/// two numbers, so that the compiler makes vectors of them. What is not a number stays so.
pub trait Function: Debug + Copy + Send + Sync + 'static {
    /// Whether [`Function::slope`] wants to see the function's value; else it sees its argument.
    const SEES_VALUE: bool;

    /// Operations that a number takes, roughly: what [`Crew::each`](super::Crew::each) counts.
    const OPERATIONS: usize;

    /// The function.
    fn value(self, x: f32) -> f32;

    /// Its derivative.
    fn slope(self, seen: f32) -> f32;
}

/// A function on every number.
#[derive(Debug, Clone, Copy)]
pub struct Everywhere<F>(pub F);

impl<F: Function> Kernel for Everywhere<F> {
    fn needs(&self) -> Needs {
        Needs { inputs: !F::SEES_VALUE, output: F::SEES_VALUE }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (from, to) = (pass.inputs[0], Shared::new(pass.output));
        pass.crew.pieces(from.len(), PIECE, F::OPERATIONS * from.len(), |range| {
            // SAFETY: pieces do not overlap.
            widest(Values { function: self.0, from: &from[range.clone()], to: unsafe { to.part(range) } });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (seen, gradient) = (if F::SEES_VALUE { pass.output } else { pass.inputs[0] }, &*pass.gradient);
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        pass.crew.pieces(seen.len(), PIECE, F::OPERATIONS * seen.len(), |range| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { to.part(range.clone()) };
            widest(Slopes { function: self.0, seen: &seen[range.clone()], gradient: &gradient[range], put, to });
        });
    }
}

struct Values<'a, F> {
    function: F,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl<F: Function> Loop for Values<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.to.iter_mut().zip(self.from).for_each(|(to, &x)| *to = self.function.value(x));
    }
}

struct Slopes<'a, F> {
    function: F,
    seen: &'a [f32],
    gradient: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl<F: Function> Loop for Slopes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // A closure of this size would stay a call of its own, and the loop narrow.
        let numbers = self.to.iter_mut().zip(self.gradient).zip(self.seen);
        match self.put {
            Put::Over => {
                for ((to, gradient), &seen) in numbers {
                    *to = gradient * self.function.slope(seen);
                }
            }
            Put::Onto => {
                for ((to, gradient), &seen) in numbers {
                    *to += gradient * self.function.slope(seen);
                }
            }
        }
    }
}
