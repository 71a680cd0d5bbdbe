//! The product of several inputs, number by number; some of them may have one number for all positions of a channel.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::put::Put;
use super::scratch;
use super::sites::fold;
use crate::compute::vectors::{Loop, widest};

/// The product of inputs of one place and of flat rows of its channels.
#[derive(Debug, Clone)]
pub struct Mul {
    /// A row of the output.
    pub place: Place,
    /// Numbers of a row of each input: all of the place, or its channels.
    pub numbers: Vec<usize>,
}

impl Mul {
    /// The rows of all inputs at one row of the batch.
    fn rows<'a>(&'a self, inputs: &'a [&'a [f32]], row: usize) -> impl Iterator<Item = &'a [f32]> {
        inputs.iter().zip(&self.numbers).map(move |(input, numbers)| &input[row * numbers..(row + 1) * numbers])
    }

    fn operations(&self, rows: usize) -> usize {
        8 * rows * self.place.numbers() * self.numbers.len()
    }
}

impl Kernel for Mul {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (numbers, inputs, output) = (self.place.numbers(), pass.inputs, Shared::new(pass.output));
        pass.crew.each(pass.rows, self.operations(pass.rows), |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { output.part(row * numbers..(row + 1) * numbers) };
            to.fill(1.0);
            self.rows(inputs, row).for_each(|factor| widest(Times { factor, to: &mut *to }));
        });
    }

    /// What arrives at a factor is the gradient times all others: the product divided by the factor would be wrong where
    /// that is 0.
    fn backward(&self, pass: BackwardPass<'_>) {
        let (numbers, inputs, gradient) = (self.place.numbers(), pass.inputs, &*pass.gradient);
        let places: Vec<Option<(Shared<'_>, Put)>> = pass.input_gradients.iter_mut().map(|to| to.place()).collect();
        let operations = self.operations(pass.rows) * self.numbers.len();
        pass.crew.each(pass.rows, operations, |row| {
            for (at, place) in places.iter().enumerate() {
                let Some((to, put)) = *place else { continue };
                let own = self.numbers[at];
                // SAFETY: rows do not overlap.
                let to = unsafe { to.part(row * own..(row + 1) * own) };
                scratch::with(numbers + own, |room| {
                    let (through, sums) = room.split_at_mut(numbers);
                    through.copy_from_slice(&gradient[row * numbers..(row + 1) * numbers]);
                    let others = self.rows(inputs, row).enumerate().filter(|&(other, _)| other != at);
                    others.for_each(|(_, factor)| widest(Times { factor, to: &mut *through }));
                    if own == numbers {
                        return put.all(to, through.iter().copied());
                    }
                    fold(through, sums);
                    put.all(to, sums.iter().copied());
                });
            }
        });
    }
}

/// Multiplies every part as long as the factor by it.
struct Times<'a> {
    factor: &'a [f32],
    to: &'a mut [f32],
}

impl Loop for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for part in self.to.chunks_exact_mut(self.factor.len()) {
            part.iter_mut().zip(self.factor).for_each(|(number, factor)| *number *= factor);
        }
    }
}
