//! An embedding: the sum of a table's rows, weighted by the numbers of the input, most of which are 0.
//!
//! One parameter: the table `[in, out]`. Zeros are passed over: a one-hot row costs one row of the table.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::{PIECE, Put};
use crate::compute::vectors::{Loop, widest};

/// A table of rows of `out` numbers for each of `inputs`.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// Numbers of a row that enters: rows of the table.
    pub inputs: usize,
    /// Numbers of a row that leaves.
    pub out: usize,
}

impl Embedding {
    fn operations(&self, rows: usize) -> usize {
        rows * self.inputs * self.out
    }
}

impl Kernel for Embedding {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (input, table) = (pass.inputs[0], pass.parameters[0]);
        let output = Shared::new(pass.output);
        pass.crew.each(pass.rows, self.operations(pass.rows), |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { output.part(row * self.out..(row + 1) * self.out) };
            to.fill(0.0);
            let weights = &input[row * self.inputs..(row + 1) * self.inputs];
            for (&weight, from) in
                weights.iter().zip(table.chunks_exact(self.out)).filter(|(weight, _)| **weight != 0.0)
            {
                widest(Weighted { weight, from, to: &mut *to });
            }
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (input, gradient, table) = (pass.inputs[0], &*pass.gradient, pass.parameters[0]);
        let target = Shared::new(&mut *pass.parameter_gradients[0]);
        let operations = self.operations(pass.rows);
        pass.crew.pieces(self.inputs, (PIECE / self.out).max(1), operations, |entries| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { target.part(entries.start * self.out..entries.end * self.out) };
            to.fill(0.0);
            for (weights, from) in input.chunks_exact(self.inputs).zip(gradient.chunks_exact(self.out)) {
                let entries = weights[entries.clone()].iter().zip(to.chunks_exact_mut(self.out));
                entries
                    .filter(|(weight, _)| **weight != 0.0)
                    .for_each(|(&weight, to)| widest(Weighted { weight, from, to }));
            }
        });
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        pass.crew.each(pass.rows, operations, |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { to.part(row * self.inputs..(row + 1) * self.inputs) };
            widest(Products { gradient: &gradient[row * self.out..(row + 1) * self.out], table, put, to });
        });
    }
}

/// Adds a slice times a weight to another.
struct Weighted<'a> {
    weight: f32,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Loop for Weighted<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.to.iter_mut().zip(self.from).for_each(|(to, from)| *to += self.weight * from);
    }
}

/// The gradient's product with every row of the table.
struct Products<'a> {
    gradient: &'a [f32],
    table: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl Loop for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.table.chunks_exact(self.gradient.len());
        self.put.all(self.to, rows.map(|row| product(row, self.gradient)));
    }
}

/// The sum of products, in lanes.
#[inline(always)]
fn product(one: &[f32], other: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((ones, rest), (others, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut lanes = [0.0f32; LANES];
    for (one, other) in ones.iter().zip(others) {
        lanes.iter_mut().zip(one).zip(other).for_each(|((lane, one), other)| *lane += one * other);
    }
    lanes.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(one, other)| one * other).sum::<f32>()
}
