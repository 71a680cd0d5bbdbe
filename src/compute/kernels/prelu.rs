//! PReLU: x above 0, and x times its channel's learned slope below.
//!
//! One parameter: slope `[channels]`.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::Put;
use super::scratch;
use super::sites::{Sites, fold, repeat};
use crate::compute::vectors::{Loop, widest};

/// A rectifier with a slope for each of so many channels.
#[derive(Debug, Clone)]
pub struct Prelu {
    /// Numbers of a site.
    pub channels: usize,
}

impl Kernel for Prelu {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let batch = pass.inputs[0];
        let (sites, output) = (Sites::of(batch, self.channels), Shared::new(pass.output));
        scratch::with(sites.period(), |slopes| {
            repeat(pass.parameters[0], slopes);
            let slopes = &*slopes;
            sites.each(pass.crew, 8, |range| {
                // SAFETY: pieces do not overlap.
                widest(Bend { slopes, from: &batch[range.clone()], to: unsafe { output.part(range) } });
            });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (batch, gradient) = (pass.inputs[0], &*pass.gradient);
        let sites = Sites::of(batch, self.channels);
        let place = pass.input_gradients[0].place();
        scratch::with(sites.period(), |slopes| {
            repeat(pass.parameters[0], slopes);
            let slopes = &*slopes;
            let work = |range: std::ops::Range<usize>, sums: &mut [f32]| {
                let (batch, gradient) = (&batch[range.clone()], &gradient[range.clone()]);
                scratch::with(slopes.len(), |along| {
                    widest(Along { batch, gradient, along: &mut *along });
                    fold(along, sums);
                });
                if let Some((to, put)) = place {
                    // SAFETY: pieces do not overlap.
                    widest(Back { slopes, batch, gradient, put, to: unsafe { to.part(range) } });
                }
            };
            sites.partials(pass.crew, (self.channels, 20), work, |partials| {
                for (channel, slope) in pass.parameter_gradients[0].iter_mut().enumerate() {
                    *slope = partials.total(channel) as f32;
                }
            });
        });
    }
}

struct Bend<'a> {
    slopes: &'a [f32],
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Loop for Bend<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let length = self.slopes.len();
        for (to, from) in self.to.chunks_mut(length).zip(self.from.chunks(length)) {
            for ((to, &x), slope) in to.iter_mut().zip(from).zip(self.slopes) {
                *to = if x > 0.0 { x } else { slope * x };
            }
        }
    }
}

/// The gradient by the slopes, by place in the period.
struct Along<'a> {
    batch: &'a [f32],
    gradient: &'a [f32],
    along: &'a mut [f32],
}

impl Loop for Along<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.along.fill(0.0);
        let length = self.along.len();
        for (numbers, gradient) in self.batch.chunks(length).zip(self.gradient.chunks(length)) {
            for ((along, &x), gradient) in self.along.iter_mut().zip(numbers).zip(gradient) {
                *along += if x > 0.0 { 0.0 } else { gradient * x };
            }
        }
    }
}

/// The gradient by the batch.
struct Back<'a> {
    slopes: &'a [f32],
    batch: &'a [f32],
    gradient: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl Loop for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let length = self.slopes.len();
        let pieces = self.to.chunks_mut(length).zip(self.batch.chunks(length)).zip(self.gradient.chunks(length));
        for ((to, numbers), gradient) in pieces {
            let numbers = numbers.iter().zip(gradient).zip(self.slopes);
            let through = |((&x, gradient), slope): ((&f32, &f32), &f32)| gradient * if x > 0.0 { 1.0 } else { *slope };
            self.put.all(to, numbers.map(through));
        }
    }
}
