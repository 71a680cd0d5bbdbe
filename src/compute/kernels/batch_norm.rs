//! BatchNorm: every channel normalised over all sites of the batch in training, by running statistics in evaluation.
//!
//! Parameters: scale, shift, running mean and running variance, each `[channels]`. Mean and variance come from those of
//! pieces (Chan et al. 1983), taken twice while a piece is in the cache, so that a large offset costs no precision. One
//! value a channel is normalised by the running statistics, which it leaves as they are.

use std::ops::Range;
use std::sync::Arc;

use super::crew::{Crew, Shared};
use super::kernel::{Arrival, BackwardPass, ForwardPass, Kernel, Needs};
use super::put::Put;
use super::scratch;
use super::sites::{Partials, Sites, column_sums, cut, fold, repeat};
use crate::compute::vectors::{Loop, widest};

/// A normalisation of so many channels, with a rectifier behind it or not.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    channels: usize,
    epsilon: f64,
    momentum: f64,
    /// 1 leaves the normalised numbers as they are.
    slope: f32,
}

impl BatchNorm {
    /// The norm without an activation.
    pub fn new(channels: usize, epsilon: f64, momentum: f64) -> Self {
        Self { channels, epsilon, momentum, slope: 1.0 }
    }

    /// Mean and variance of every channel of the batch, in the order of channels.
    fn measure(&self, batch: &[f32], sites: Sites, crew: &Crew, mut take: impl FnMut(usize, Moments)) {
        let work = |range, sums: &mut [f32]| measure_piece(&batch[range], sites, sums);
        sites.partials(crew, (2 * self.channels, 14), work, |partials| {
            for channel in 0..self.channels {
                take(channel, self.combined(&partials, sites, channel));
            }
        });
    }

    /// The mean of all pieces, and their sums of squares about it.
    fn combined(&self, partials: &Partials<'_>, sites: Sites, channel: usize) -> Moments {
        let count = sites.count as f64;
        let sizes = || (0..sites.numbers()).step_by(sites.piece()).map(|at| sites.piece().min(sites.numbers() - at));
        let sizes = || sizes().map(|numbers| (numbers / self.channels) as f64);
        let weighed = partials.pieces().zip(sizes());
        let mean = weighed.fold(0.0, |sum, (piece, size)| sum + f64::from(piece[channel]) * size) / count;
        let weighed = partials.pieces().zip(sizes());
        let squares = weighed.fold(0.0, |sum, (piece, size)| {
            let aside = f64::from(piece[channel]) - mean;
            sum + f64::from(piece[self.channels + channel]) + aside * aside * size
        });
        Moments { mean, variance: squares / count }
    }

    /// Runs the loop of the forward pass with these numbers of every channel.
    fn apply(&self, [mean, factor, shift]: [&[f32]; 3], batch: &[f32], output: &mut [f32], crew: &Crew) {
        let (sites, output) = (Sites::of(batch, self.channels), Shared::new(output));
        let period = sites.period();
        scratch::with(3 * period, |room| {
            let [means, factors, shifts] = cut(room, period);
            repeat(mean, means);
            repeat(factor, factors);
            repeat(shift, shifts);
            let affine = Affine { means, factors, shifts, slope: self.slope };
            sites.each(crew, 10, |range| {
                // SAFETY: pieces do not overlap.
                widest(Apply { affine, from: &batch[range.clone()], to: unsafe { output.part(range) } });
            });
        });
    }
}

/// Mean and (biased) variance of a channel.
struct Moments {
    mean: f64,
    variance: f64,
}

impl Kernel for BatchNorm {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    fn passes_on(&self) -> Option<usize> {
        Some(0)
    }

    /// Mean, inverse deviation and shift of every channel as the forward pass took them.
    fn saved_per_batch(&self) -> usize {
        3 * self.channels
    }

    fn rectified(&self, slope: f32) -> Option<Arc<dyn Kernel>> {
        (self.slope == 1.0).then(|| Arc::new(Self { slope, ..self.clone() }) as _)
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let &[scale, shift, running_mean, running_variance] = pass.parameters else {
            panic!("a batch norm has four parameters");
        };
        let (batch, channels) = (pass.inputs[0], self.channels);
        let sites = Sites::of(batch, channels);
        let by_running = |means: &mut [f32], inverses: &mut [f32], shifts: &mut [f32]| {
            means.copy_from_slice(running_mean);
            shifts.copy_from_slice(shift);
            for (inverse, variance) in inverses.iter_mut().zip(running_variance) {
                *inverse = (1.0 / (f64::from(*variance) + self.epsilon).sqrt()) as f32;
            }
        };
        let finish = |[means, inverses, shifts]: [&mut [f32]; 3], output: &mut [f32]| {
            scratch::with(channels, |factors| {
                let both = factors.iter_mut().zip(scale).zip(&*inverses);
                both.for_each(|((factor, scale), inverse)| *factor = scale * inverse);
                self.apply([means, factors, shifts], batch, output, pass.crew);
            });
        };
        if pass.training.is_none() {
            return scratch::with(3 * channels, |room| {
                let [means, inverses, shifts] = cut(room, channels);
                by_running(means, inverses, shifts);
                finish([means, inverses, shifts], pass.output);
            });
        }
        let [means, inverses, shifts] = cut(pass.saved, channels);
        pass.statistics[2].copy_from_slice(running_mean);
        pass.statistics[3].copy_from_slice(running_variance);
        if sites.count == 1 {
            by_running(means, inverses, shifts);
            return finish([means, inverses, shifts], pass.output);
        }
        let unbiased = sites.count as f64 / (sites.count - 1) as f64;
        let moved = |old: &mut f32, new: f64| {
            *old = (f64::from(*old) * (1.0 - self.momentum) + new * self.momentum) as f32;
        };
        self.measure(batch, sites, pass.crew, |channel, moments| {
            let inverse = 1.0 / (moments.variance + self.epsilon).sqrt();
            means[channel] = moments.mean as f32;
            inverses[channel] = inverse as f32;
            // What rounding took from the mean comes back with the shift.
            let lost = (moments.mean - f64::from(means[channel])) * inverse * f64::from(scale[channel]);
            shifts[channel] = (f64::from(shift[channel]) - lost) as f32;
            moved(&mut pass.statistics[2][channel], moments.mean);
            moved(&mut pass.statistics[3][channel], moments.variance * unbiased);
        });
        finish([means, inverses, shifts], pass.output);
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (batch, channels) = (pass.inputs[0], self.channels);
        let sites = Sites::of(batch, channels);
        let period = sites.period();
        let (means, rest) = pass.saved.split_at(channels);
        let (inverses, shifts) = rest.split_at(channels);
        scratch::with(5 * period + 3 * channels, |room| {
            let (room, by_channel) = room.split_at_mut(5 * period);
            let [period_means, factors, period_shifts, constants, slopes] = cut(room, period);
            let [factor, constant, slope] = cut(by_channel, channels);
            factor
                .iter_mut()
                .zip(pass.parameters[0])
                .zip(inverses)
                .for_each(|((to, scale), inverse)| *to = scale * inverse);
            repeat(means, period_means);
            repeat(factor, factors);
            repeat(shifts, period_shifts);
            let affine = Affine { means: period_means, factors, shifts: period_shifts, slope: self.slope };
            let gradient = &*pass.gradient;
            let work = |range: Range<usize>, sums: &mut [f32]| {
                scratch::with(2 * period, |room| {
                    let [plain, along] = cut(room, period);
                    widest(Through {
                        affine,
                        batch: &batch[range.clone()],
                        gradient: &gradient[range],
                        plain: &mut *plain,
                        along: &mut *along,
                    });
                    fold(plain, &mut sums[..channels]);
                    fold(along, &mut sums[channels..]);
                });
            };
            sites.partials(pass.crew, (2 * channels, 14), work, |partials| {
                let count = if sites.count == 1 { f64::INFINITY } else { sites.count as f64 };
                for channel in 0..channels {
                    let (plain, inverse) = (partials.total(channel), f64::from(inverses[channel]));
                    let along = partials.total(channels + channel) * inverse;
                    pass.parameter_gradients[0][channel] = along as f32;
                    pass.parameter_gradients[1][channel] = plain as f32;
                    // Mean and variance are functions of the batch too: what they carry is taken off.
                    let factor = f64::from(factor[channel]);
                    constant[channel] = (factor * plain / count) as f32;
                    slope[channel] = (factor * inverse * along / count) as f32;
                }
            });
            repeat(constant, constants);
            repeat(slope, slopes);
            let back = Back { affine, constants, slopes };
            if matches!(pass.input_gradients[0], Arrival::InPlace) {
                let gradient = Shared::new(pass.gradient);
                return sites.each(pass.crew, 16, |range| {
                    // SAFETY: pieces do not overlap.
                    let gradient = unsafe { gradient.part(range.clone()) };
                    widest(BackInPlace { back, batch: &batch[range], gradient });
                });
            }
            let Some((to, put)) = pass.input_gradients[0].place() else { return };
            sites.each(pass.crew, 16, |range| {
                // SAFETY: pieces do not overlap.
                let to = unsafe { to.part(range.clone()) };
                let (batch, gradient) = (&batch[range.clone()], &gradient[range]);
                widest(BackTo { back, batch, gradient, put, to });
            });
        });
    }
}

/// The sums of one piece about its own means, in two turns: the second takes off what rounding left of the first.
fn measure_piece(piece: &[f32], sites: Sites, moments: &mut [f32]) {
    let (period, count) = (sites.period(), (piece.len() / sites.channels) as f32);
    scratch::with(3 * period + 2 * sites.channels, |room| {
        let (room, by_channel) = room.split_at_mut(3 * period);
        let [sums, squares, means] = cut(room, period);
        let [left, square] = cut(by_channel, sites.channels);
        let (mean, about) = moments.split_at_mut(sites.channels);
        sums.fill(0.0);
        column_sums(piece, period, sums);
        fold(sums, mean);
        mean.iter_mut().for_each(|mean| *mean /= count);
        repeat(mean, means);
        widest(Squares { piece, means: &*means, sums: &mut *sums, squares: &mut *squares });
        fold(sums, left);
        fold(squares, square);
        for (((mean, about), left), square) in mean.iter_mut().zip(about).zip(left).zip(square) {
            *mean += *left / count;
            *about = *square - *left * *left / count;
        }
    });
}

/// Sums of differences from the means and of their squares, by place in the period.
struct Squares<'a> {
    piece: &'a [f32],
    means: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Loop for Squares<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.sums.fill(0.0);
        self.squares.fill(0.0);
        for numbers in self.piece.chunks(self.means.len()) {
            let places = self.sums.iter_mut().zip(&mut *self.squares).zip(self.means);
            for (((sum, square), mean), x) in places.zip(numbers) {
                let aside = x - mean;
                *sum += aside;
                *square += aside * aside;
            }
        }
    }
}

/// What the forward pass makes of a number, over a period: (x - mean) * factor + shift, then the rectifier.
#[derive(Clone, Copy)]
struct Affine<'a> {
    means: &'a [f32],
    factors: &'a [f32],
    shifts: &'a [f32],
    slope: f32,
}

impl Affine<'_> {
    /// How far a number lies from its mean, and what of the gradient comes through the rectifier behind it.
    #[inline(always)]
    fn through(self, [mean, factor, shift]: [f32; 3], x: f32, gradient: f32) -> (f32, f32) {
        let aside = x - mean;
        (aside, if aside * factor + shift > 0.0 { gradient } else { self.slope * gradient })
    }
}

struct Apply<'a> {
    affine: Affine<'a>,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Loop for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Affine { means, factors, shifts, slope } = self.affine;
        let length = means.len();
        for (to, from) in self.to.chunks_mut(length).zip(self.from.chunks(length)) {
            for ((((to, x), mean), factor), shift) in to.iter_mut().zip(from).zip(means).zip(factors).zip(shifts) {
                let y = (x - mean) * factor + shift;
                *to = if y > 0.0 { y } else { slope * y };
            }
        }
    }
}

/// Sums of the gradient before the rectifier, plain and along the differences from the means, by place in the period.
struct Through<'a> {
    affine: Affine<'a>,
    batch: &'a [f32],
    gradient: &'a [f32],
    plain: &'a mut [f32],
    along: &'a mut [f32],
}

impl Loop for Through<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Affine { means, factors, shifts, .. } = self.affine;
        self.plain.fill(0.0);
        self.along.fill(0.0);
        let length = means.len();
        for (numbers, gradient) in self.batch.chunks(length).zip(self.gradient.chunks(length)) {
            let sums = self.plain.iter_mut().zip(&mut *self.along);
            let places = sums.zip(means).zip(factors).zip(shifts);
            for ((((((plain, along), mean), factor), shift), x), gradient) in places.zip(numbers).zip(gradient) {
                let (aside, through) = self.affine.through([*mean, *factor, *shift], *x, *gradient);
                *plain += through;
                *along += through * aside;
            }
        }
    }
}

/// The gradient by the batch.
#[derive(Clone, Copy)]
struct Back<'a> {
    affine: Affine<'a>,
    constants: &'a [f32],
    slopes: &'a [f32],
}

impl Back<'_> {
    /// The gradient by a number of the batch.
    #[inline(always)]
    fn number(self, [mean, factor, shift, constant, along]: [f32; 5], x: f32, gradient: f32) -> f32 {
        let (aside, through) = self.affine.through([mean, factor, shift], x, gradient);
        factor * through - constant - aside * along
    }
}

/// The gradient by the batch, elsewhere.
struct BackTo<'a> {
    back: Back<'a>,
    batch: &'a [f32],
    gradient: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl Loop for BackTo<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let back = self.back;
        let Affine { means, factors, shifts, .. } = back.affine;
        let length = means.len();
        let pieces = self.to.chunks_mut(length).zip(self.batch.chunks(length)).zip(self.gradient.chunks(length));
        for ((to, numbers), gradient) in pieces {
            let places = means.iter().zip(factors).zip(shifts).zip(back.constants).zip(back.slopes);
            let numbers = numbers.iter().zip(gradient).zip(places);
            self.put.all(
                to,
                numbers.map(|((x, gradient), ((((mean, factor), shift), constant), along))| {
                    back.number([*mean, *factor, *shift, *constant, *along], *x, *gradient)
                }),
            );
        }
    }
}

/// The gradient by the batch, in the place of that by the output.
struct BackInPlace<'a> {
    back: Back<'a>,
    batch: &'a [f32],
    gradient: &'a mut [f32],
}

impl Loop for BackInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let back = self.back;
        let Affine { means, factors, shifts, .. } = back.affine;
        let length = means.len();
        for (gradient, numbers) in self.gradient.chunks_mut(length).zip(self.batch.chunks(length)) {
            let places = means.iter().zip(factors).zip(shifts).zip(back.constants).zip(back.slopes);
            for ((gradient, x), ((((mean, factor), shift), constant), along)) in
                gradient.iter_mut().zip(numbers).zip(places)
            {
                *gradient = back.number([*mean, *factor, *shift, *constant, *along], *x, *gradient);
            }
        }
    }
}
