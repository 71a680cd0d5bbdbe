//! Norms across channels: every run of numbers, all of one row, is normalised by its own statistics, then scaled (and
//! shifted) by channel. LayerNorm, GroupNorm and RMSNorm are one each.
//!
//! Parameters: scale and, with a mean to make up for, shift, each `[channels]`. A block is what holds whole runs: a row,
//! or a position of it. Sums run over its positions by channel, then over the channels of a group: every loop runs along
//! memory. Means are taken in two turns, so that a large offset costs no precision and numbers that are all the same
//! give 0.

use std::ops::Range;

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::Put;
use super::scratch;
use super::sites::{Sites, cut};
use crate::compute::vectors::{Loop, widest};

/// A norm across the channels of so many groups, over blocks of so many positions.
#[derive(Debug, Clone)]
pub struct Across {
    /// Numbers of a position.
    pub channels: usize,
    /// Positions whose numbers are normalised together: those of a row, or 1.
    pub positions: usize,
    /// Groups of channels that are normalised apart.
    pub groups: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// What is measured of a run.
    pub measure: Measure,
}

/// From where the numbers of a run are measured, and what is added to their mean square before its root is taken.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    /// From their mean, which is subtracted; there is a shift to take its place.
    FromMean(f32),
    /// From zero.
    FromZero(f32),
}

impl Across {
    /// Numbers of a block.
    fn numbers(&self) -> usize {
        self.positions * self.channels
    }

    /// Numbers of a run.
    fn run(&self) -> usize {
        self.numbers() / self.groups
    }

    fn epsilon(&self) -> f32 {
        match self.measure {
            Measure::FromMean(epsilon) | Measure::FromZero(epsilon) => epsilon,
        }
    }

    fn centred(&self) -> bool {
        matches!(self.measure, Measure::FromMean(_))
    }

    /// The blocks of a batch as sites.
    fn sites(&self, batch: &[f32]) -> Sites {
        Sites::of(batch, self.numbers())
    }

    /// Which statistics belong to the numbers `range` of the batch.
    fn statistics(&self, range: &Range<usize>) -> Range<usize> {
        let of = |at: usize| at / self.numbers() * 2 * self.groups;
        of(range.start)..of(range.end)
    }
}

impl Kernel for Across {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    /// Mean and inverse deviation of every run, by block.
    fn saved_per_row(&self) -> usize {
        2 * self.groups * self.blocks
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (batch, sites) = (pass.inputs[0], self.sites(pass.inputs[0]));
        let (scale, shift) = (pass.parameters[0], pass.parameters.get(1).copied().unwrap_or(&[]));
        let keeps = pass.training.is_some();
        let (output, saved) = (Shared::new(pass.output), Shared::new(pass.saved));
        sites.each(pass.crew, 40, |range| {
            let statistics = self.statistics(&range);
            // SAFETY: pieces do not overlap.
            let to = unsafe { output.part(range.clone()) };
            scratch::with(4 * self.channels + statistics.len(), |room| {
                let (room, own) = room.split_at_mut(4 * self.channels);
                // SAFETY: the statistics of pieces do not overlap either.
                let statistics = if keeps { unsafe { saved.part(statistics) } } else { own };
                widest(Normalise { across: self, scale, shift, from: &batch[range], statistics, to, room });
            });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (batch, gradient, saved) = (pass.inputs[0], &*pass.gradient, pass.saved);
        let (channels, scale) = (self.channels, pass.parameters[0]);
        let place = pass.input_gradients[0].place();
        let work = |range: Range<usize>, sums: &mut [f32]| {
            let statistics = &saved[self.statistics(&range)];
            let place = place.map(|(to, put)| {
                // SAFETY: pieces do not overlap.
                (unsafe { to.part(range.clone()) }, put)
            });
            let (batch, gradient) = (&batch[range.clone()], &gradient[range]);
            scratch::with(5 * channels, |room| {
                widest(Back { across: self, scale, batch, gradient, statistics, sums, place, room });
            });
        };
        self.sites(batch).partials(pass.crew, (2 * channels, 40), work, |partials| {
            for (index, by_parameter) in pass.parameter_gradients.iter_mut().enumerate() {
                for (channel, gradient) in by_parameter.iter_mut().enumerate() {
                    *gradient = partials.total(index * channels + channel) as f32;
                }
            }
        });
    }
}

/// The forward pass of some blocks.
struct Normalise<'a> {
    across: &'a Across,
    scale: &'a [f32],
    shift: &'a [f32],
    from: &'a [f32],
    statistics: &'a mut [f32],
    to: &'a mut [f32],
    room: &'a mut [f32],
}

impl Loop for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Across { channels, groups, .. } = *self.across;
        let (numbers, wide, count) = (self.across.numbers(), channels / groups, self.across.run() as f32);
        let [sums, squares, means, factors] = cut(self.room, channels);
        let blocks = self.to.chunks_exact_mut(numbers).zip(self.from.chunks_exact(numbers));
        for ((to, from), statistics) in blocks.zip(self.statistics.chunks_exact_mut(2 * groups)) {
            let (mean, inverse) = statistics.split_at_mut(groups);
            mean.fill(0.0);
            if self.across.centred() {
                sums.fill(0.0);
                for site in from.chunks_exact(channels) {
                    sums.iter_mut().zip(site).for_each(|(sum, x)| *sum += x);
                }
                mean.iter_mut().zip(sums.chunks_exact(wide)).for_each(|(mean, sums)| *mean = sum(sums) / count);
            }
            spread(mean, means);
            sums.fill(0.0);
            squares.fill(0.0);
            for site in from.chunks_exact(channels) {
                let sums = sums.iter_mut().zip(&mut *squares);
                for (((sum, square), mean), x) in sums.zip(&*means).zip(site) {
                    let aside = x - mean;
                    *sum += aside;
                    *square += aside * aside;
                }
            }
            let of_groups = sums.chunks_exact(wide).zip(squares.chunks_exact(wide));
            for ((mean, inverse), (sums, squares)) in mean.iter_mut().zip(&mut *inverse).zip(of_groups) {
                let mut square = sum(squares) / count;
                if self.across.centred() {
                    let left = sum(sums) / count;
                    *mean += left;
                    square -= left * left;
                }
                *inverse = 1.0 / (square + self.across.epsilon()).sqrt();
            }
            spread(mean, means);
            spread(inverse, factors);
            factors.iter_mut().zip(self.scale).for_each(|(factor, scale)| *factor *= scale);
            for (to, from) in to.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
                let normalised = from.iter().zip(&*means).zip(&*factors).map(|((x, mean), factor)| (x - mean) * factor);
                if self.shift.is_empty() {
                    Put::Over.all(to, normalised);
                } else {
                    Put::Over.all(to, normalised.zip(self.shift).map(|(y, shift)| y + shift));
                }
            }
        }
    }
}

/// The backward pass of some blocks: their sums for the parameters, and the gradient by the batch if it is asked for.
struct Back<'a> {
    across: &'a Across,
    scale: &'a [f32],
    batch: &'a [f32],
    gradient: &'a [f32],
    statistics: &'a [f32],
    sums: &'a mut [f32],
    place: Option<(&'a mut [f32], Put)>,
    room: &'a mut [f32],
}

impl Loop for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let Across { channels, groups, .. } = *self.across;
        let (numbers, wide, count) = (self.across.numbers(), channels / groups, self.across.run() as f32);
        let [means, inverses, along, plain, factors] = cut(self.room, channels);
        let (by_scale, by_shift) = self.sums.split_at_mut(channels);
        by_scale.fill(0.0);
        by_shift.fill(0.0);
        let blocks = self.batch.chunks_exact(numbers).zip(self.gradient.chunks_exact(numbers));
        let blocks = blocks.zip(self.statistics.chunks_exact(2 * groups));
        for (block, ((from, gradient), statistics)) in blocks.enumerate() {
            let (mean, inverse) = statistics.split_at(groups);
            spread(mean, means);
            spread(inverse, inverses);
            along.fill(0.0);
            plain.fill(0.0);
            for (from, gradient) in from.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
                let places = along.iter_mut().zip(&mut *plain).zip(&*means);
                for ((((along, plain), mean), x), gradient) in places.zip(from).zip(gradient) {
                    *along += (x - mean) * gradient;
                    *plain += gradient;
                }
            }
            along.iter_mut().zip(&*inverses).for_each(|(along, inverse)| *along *= inverse);
            by_scale.iter_mut().zip(&*along).for_each(|(sum, along)| *sum += along);
            by_shift.iter_mut().zip(&*plain).for_each(|(sum, plain)| *sum += plain);
            let Some((to, put)) = &mut self.place else { continue };
            // Mean and mean square are functions of the run too: what they carry is taken off, the same for all channels
            // of a group.
            along.iter_mut().zip(self.scale).for_each(|(along, scale)| *along *= scale);
            plain.iter_mut().zip(self.scale).for_each(|(plain, scale)| *plain *= scale);
            for (group, inverse) in inverse.iter().enumerate() {
                let own = group * wide..(group + 1) * wide;
                let slope = sum(&along[own.clone()]) / count * inverse * inverse;
                let constant = if self.across.centred() { sum(&plain[own.clone()]) / count * inverse } else { 0.0 };
                along[own.clone()].fill(slope);
                plain[own].fill(constant);
            }
            let both = factors.iter_mut().zip(self.scale).zip(&*inverses);
            both.for_each(|((factor, scale), inverse)| *factor = scale * inverse);
            let to = &mut to[block * numbers..(block + 1) * numbers];
            let sites = to.chunks_exact_mut(channels).zip(from.chunks_exact(channels));
            for ((to, from), gradient) in sites.zip(gradient.chunks_exact(channels)) {
                let places = means.iter().zip(&*factors).zip(&*along).zip(&*plain);
                let through = from.iter().zip(gradient).zip(places);
                put.all(
                    to,
                    through.map(|((x, gradient), (((mean, factor), slope), constant))| {
                        factor * gradient - constant - (x - mean) * slope
                    }),
                );
            }
        }
    }
}

/// Repeats the number of every group for its channels.
#[inline(always)]
fn spread(by_group: &[f32], by_channel: &mut [f32]) {
    let wide = by_channel.len() / by_group.len();
    by_channel.chunks_exact_mut(wide).zip(by_group).for_each(|(channels, number)| channels.fill(*number));
}

/// The sum of some numbers, in lanes.
#[inline(always)]
fn sum(numbers: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (blocks, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, number)| *lane += number);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0] + rest.iter().sum::<f32>()
}
