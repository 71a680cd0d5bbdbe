//! Batches as sites: all positions of all rows, each with one number a channel. What kernels with numbers of their own
//! for every channel share.
//!
//! Loops run along memory whatever the number of channels is: a channel's number stands repeated over a *period* of whole
//! sites, which is long enough for vectors. Sums by channel are taken in pieces of whole sites, whose number depends on the
//! sizes alone, and then added in order.

use std::ops::Range;

use super::crew::{Crew, Shared};
use super::put::PIECE;
use super::scratch;
use crate::compute::vectors::{Loop, widest};

/// The numbers of a period are at least so many: their loop hides what an addition to memory takes.
const PERIOD: usize = if cfg!(test) { 1 << 3 } else { 1 << 8 };

/// The sites of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sites {
    /// Numbers of a site.
    pub channels: usize,
    /// How many sites there are.
    pub count: usize,
}

impl Sites {
    /// The sites of a batch of so many numbers.
    pub(super) fn of(batch: &[f32], channels: usize) -> Self {
        Self { channels, count: batch.len() / channels }
    }

    /// All numbers.
    pub(super) fn numbers(&self) -> usize {
        self.channels * self.count
    }

    /// The numbers of a piece: whole sites.
    pub(super) fn piece(&self) -> usize {
        (PIECE / self.channels).max(1) * self.channels
    }

    /// The numbers of a period: whole sites.
    pub(super) fn period(&self) -> usize {
        PERIOD.div_ceil(self.channels) * self.channels
    }

    /// Runs `work` on the range of every piece, at about so many operations a number.
    pub(super) fn each(&self, crew: &Crew, operations: usize, work: impl Fn(Range<usize>) + Sync + Send) {
        crew.pieces(self.numbers(), self.piece(), operations * self.numbers(), work);
    }

    /// Lets `work` write `width` partial sums for every piece and hands them all to `take`, in order of pieces.
    pub(super) fn partials<R>(
        &self,
        crew: &Crew,
        (width, operations): (usize, usize),
        work: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
        take: impl FnOnce(Partials<'_>) -> R,
    ) -> R {
        let piece = self.piece();
        scratch::with(self.numbers().div_ceil(piece) * width, |sums| {
            let shared = Shared::new(sums);
            self.each(crew, operations, |range| {
                let index = range.start / piece;
                // SAFETY: every piece has sums of its own.
                work(range, unsafe { shared.part(index * width..(index + 1) * width) });
            });
            take(Partials { sums, width })
        })
    }
}

/// The partial sums of all pieces.
pub(super) struct Partials<'a> {
    sums: &'a [f32],
    width: usize,
}

impl Partials<'_> {
    /// Those of each piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[f32]> {
        self.sums.chunks_exact(self.width)
    }

    /// Sum number `at` of all pieces, added in order in f64.
    pub(super) fn total(&self, at: usize) -> f64 {
        self.pieces().fold(0.0, |total, sums| total + f64::from(sums[at]))
    }
}

/// Repeats one number a channel over a period.
pub(super) fn repeat(by_channel: &[f32], period: &mut [f32]) {
    period.chunks_exact_mut(by_channel.len()).for_each(|site| site.copy_from_slice(by_channel));
}

/// Adds up what a period holds for every channel.
pub(super) fn fold(period: &[f32], by_channel: &mut [f32]) {
    by_channel.fill(0.0);
    column_sums(period, by_channel.len(), by_channel);
}

/// Cuts a slice into `N` of `length`.
pub(super) fn cut<const N: usize>(mut slice: &mut [f32], length: usize) -> [&mut [f32]; N] {
    std::array::from_fn(|_| {
        let (one, rest) = std::mem::take(&mut slice).split_at_mut(length);
        slice = rest;
        one
    })
}

/// Adds the rows of `values`, `width` numbers each and the last perhaps fewer, to `sums`, in order.
pub(super) fn column_sums(values: &[f32], width: usize, sums: &mut [f32]) {
    widest(ColumnSums { values, width, sums });
}

struct ColumnSums<'a> {
    values: &'a [f32],
    width: usize,
    sums: &'a mut [f32],
}

impl Loop for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.values.chunks(self.width) {
            self.sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
        }
    }
}

/// Adds numbers to as many sums.
pub(super) fn add(numbers: &[f32], sums: &mut [f32]) {
    column_sums(numbers, numbers.len().max(1), sums);
}
