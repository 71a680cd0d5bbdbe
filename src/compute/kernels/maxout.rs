//! Maxout: a fully connected layer of pieces, of which the first largest is the output and takes the gradient.
//!
//! Parameters: weight `[out, pieces, in]`, bias `[out, pieces]`: those of a layer of `out * pieces` numbers.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::linear::Linear;
use super::{Crew, scratch};

/// A layer of so many outputs, each the largest of so many pieces.
#[derive(Debug, Clone)]
pub struct Maxout {
    linear: Linear,
    out: usize,
    pieces: usize,
}

impl Maxout {
    /// The layer from `inputs` numbers a row.
    pub fn new(inputs: usize, out: usize, pieces: usize) -> Self {
        Self { linear: Linear::new(inputs, out * pieces), out, pieces }
    }
}

impl Kernel for Maxout {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    /// Which piece was the largest, for every output.
    fn saved_per_row(&self) -> usize {
        self.out
    }

    fn prepared(&self, lanes: usize) -> usize {
        self.linear.prepared(lanes)
    }

    fn prepare(&self, parameters: &[&[f32]], crew: &Crew, to: &mut [f32]) {
        self.linear.prepare(parameters, crew, to);
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let ForwardPass { rows, training, inputs, parameters, prepared, output, saved, crew, .. } = pass;
        scratch::with(rows * self.out * self.pieces, |all| {
            self.linear.forward(ForwardPass {
                rows,
                training,
                inputs,
                parameters,
                prepared,
                output: &mut *all,
                saved: &mut [],
                statistics: &mut [],
                crew,
            });
            let (all, output, keeps) = (&*all, Shared::new(output), !saved.is_empty());
            let saved = Shared::new(saved);
            crew.each(rows, 10 * all.len(), |row| {
                let range = row * self.out..(row + 1) * self.out;
                let pieces = all[range.start * self.pieces..range.end * self.pieces].chunks_exact(self.pieces);
                // SAFETY: rows do not overlap.
                let to = unsafe { output.part(range.clone()) };
                // SAFETY: as above.
                let chosen = if keeps { unsafe { saved.part(range) } } else { &mut [] };
                for (index, (to, pieces)) in to.iter_mut().zip(pieces).enumerate() {
                    let mut largest = 0;
                    for (piece, number) in pieces.iter().enumerate().skip(1) {
                        largest = if *number > pieces[largest] { piece } else { largest };
                    }
                    *to = pieces[largest];
                    if keeps {
                        chosen[index] = largest as f32;
                    }
                }
            });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (rows, saved, gradient) = (pass.rows, pass.saved, &*pass.gradient);
        let [weight, bias] = pass.parameter_gradients else { unreachable!("a layer has a weight and a bias") };
        let arrival = &mut pass.input_gradients[0];
        scratch::with(rows * self.out * self.pieces, |all| {
            all.fill(0.0);
            let outputs = all.chunks_exact_mut(self.pieces).zip(saved).zip(gradient);
            outputs.for_each(|((pieces, chosen), gradient)| pieces[*chosen as usize] = *gradient);
            self.linear.backward(BackwardPass {
                rows,
                inputs: pass.inputs,
                parameters: pass.parameters,
                output: &[],
                saved: &[],
                gradient: all,
                input_gradients: &mut [arrival.lent()],
                parameter_gradients: &mut [weight, bias],
                crew: pass.crew,
            });
        });
    }
}
