//! The mean of every channel over a row's positions.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::put::Put;
use super::scratch;
use super::sites::{Sites, column_sums, fold};
use crate::compute::vectors::{Loop, widest};

/// Images of a place to their channels' means.
#[derive(Debug, Clone)]
pub struct GlobalAvgPool {
    /// An image.
    pub place: Place,
}

impl Kernel for GlobalAvgPool {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (batch, channels, numbers) = (pass.inputs[0], self.place.channels, self.place.numbers());
        let period = Sites::of(batch, channels).period();
        let output = Shared::new(pass.output);
        let share = 1.0 / self.place.positions() as f32;
        pass.crew.each(pass.rows, 5 * batch.len(), |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { output.part(row * channels..(row + 1) * channels) };
            scratch::with(period, |sums| {
                sums.fill(0.0);
                column_sums(&batch[row * numbers..(row + 1) * numbers], period, sums);
                fold(sums, to);
            });
            to.iter_mut().for_each(|mean| *mean *= share);
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (gradient, channels, numbers) = (&*pass.gradient, self.place.channels, self.place.numbers());
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        let share = 1.0 / self.place.positions() as f32;
        pass.crew.each(pass.rows, 6 * pass.rows * numbers, |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { to.part(row * numbers..(row + 1) * numbers) };
            widest(Shares { gradient: &gradient[row * channels..(row + 1) * channels], share, put, to });
        });
    }
}

/// A share of every channel's gradient at every position.
struct Shares<'a> {
    gradient: &'a [f32],
    share: f32,
    put: Put,
    to: &'a mut [f32],
}

impl Loop for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for site in self.to.chunks_exact_mut(self.gradient.len()) {
            self.put.all(site, self.gradient.iter().map(|gradient| gradient * self.share));
        }
    }
}
