//! The pools: the largest number, or the mean, of every window of a plane. What lies in the padding is not seen.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::put::Put;
use super::strip::Sliding;
use super::window::{Windows, load, store, vectors_for};
use crate::compute::vectors::{Simd, SimdLoop};

/// What becomes of a window's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    /// The first largest in row-major order, which takes the whole gradient.
    Largest,
    /// Their mean over the positions inside the plane.
    Mean,
}

/// A pool over images of one place.
#[derive(Debug, Clone)]
pub struct Pool {
    windows: Windows,
    pooled: Pooled,
}

impl Pool {
    /// A pool whose windows fit the plane and never lie in the padding alone.
    pub fn new(input: Place, output: Place, sliding: Sliding, pooled: Pooled) -> Self {
        Self { windows: Windows::new(input, output, sliding), pooled }
    }
}

impl Kernel for Pool {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    /// The tap that was the largest, for every output.
    fn saved_per_row(&self) -> usize {
        if self.pooled == Pooled::Largest { self.windows.output.numbers() } else { 0 }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (windows, input) = (&self.windows, pass.inputs[0]);
        let (entering, leaving) = (windows.input.numbers(), windows.output.numbers());
        let vectors = vectors_for(windows.output.channels, pass.crew);
        let keeps = pass.saved.len() / pass.rows;
        let (output, saved) = (Shared::new(pass.output), Shared::new(pass.saved));
        pass.crew.each(pass.rows, 6 * pass.rows * windows.operations(), |row| {
            let from = &input[row * entering..(row + 1) * entering];
            // SAFETY: rows do not overlap.
            let to = unsafe { output.part(row * leaving..(row + 1) * leaving) };
            match self.pooled {
                Pooled::Largest => {
                    // SAFETY: rows do not overlap.
                    let taps = unsafe { saved.part(row * keeps..(row + 1) * keeps) };
                    vectors.run(Largest { windows, from, to, taps });
                }
                Pooled::Mean => vectors.run(Mean { windows, from, to }),
            }
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (windows, gradient, saved) = (&self.windows, &*pass.gradient, pass.saved);
        let (entering, leaving) = (windows.input.numbers(), windows.output.numbers());
        let vectors = vectors_for(windows.output.channels, pass.crew);
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        pass.crew.each(pass.rows, 6 * pass.rows * windows.operations(), |row| {
            // SAFETY: rows do not overlap.
            let to = unsafe { to.part(row * entering..(row + 1) * entering) };
            if put == Put::Over {
                to.fill(0.0);
            }
            let range = row * leaving..(row + 1) * leaving;
            let gradient = &gradient[range.clone()];
            match self.pooled {
                Pooled::Largest => vectors.run(ToLargest { windows, gradient, taps: &saved[range], to }),
                Pooled::Mean => vectors.run(ToAll { windows, gradient, to }),
            }
        });
    }
}

/// The largest number of every window of a row, and its tap if `taps` is as long.
struct Largest<'a> {
    windows: &'a Windows,
    from: &'a [f32],
    to: &'a mut [f32],
    taps: &'a mut [f32],
}

impl SimdLoop for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (windows, channels) = (self.windows, self.windows.output.channels);
        assert!(self.from.len() == windows.input.numbers() && self.to.len() == windows.output.numbers());
        let keeps = self.taps.len() == self.to.len();
        // SAFETY: inside `Vectors::run`.
        let one = unsafe { S::splat(1.0) };
        let mut at = 0;
        for (row, tap_rows) in windows.rows.iter().enumerate() {
            for (column, tap_columns) in windows.columns.iter().enumerate() {
                let first = (tap_rows.start, tap_columns.start);
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    // SAFETY: taps that lie inside see positions of the row that enters, whose channels from `channel` on
                    // are at least `count`, as are those of the output; `taps` is as long as the output where it is kept.
                    unsafe {
                        let position = windows.position((row, column), first);
                        let mut line = self.from.as_ptr().add(position * channels + channel);
                        let mut largest = load::<S>(line, count);
                        let mut chosen = S::splat(windows.number(first) as f32);
                        for tap_row in tap_rows.clone() {
                            let mut from = line;
                            let mut tap = S::splat(windows.number((tap_row, tap_columns.start)) as f32);
                            for _ in tap_columns.clone() {
                                let number = load::<S>(from, count);
                                let more = S::subtract(number, largest);
                                largest = S::where_positive(more, number, largest);
                                chosen = S::where_positive(more, tap, chosen);
                                tap = S::add(tap, one);
                                from = from.wrapping_add(channels);
                            }
                            line = line.wrapping_add(windows.input.width * channels);
                        }
                        store::<S>(self.to.as_mut_ptr().add(at + channel), largest, count);
                        if keeps {
                            store::<S>(self.taps.as_mut_ptr().add(at + channel), chosen, count);
                        }
                    }
                }
                at += channels;
            }
        }
    }
}

/// The gradient of every window of a row, added to the tap that was chosen.
struct ToLargest<'a> {
    windows: &'a Windows,
    gradient: &'a [f32],
    taps: &'a [f32],
    to: &'a mut [f32],
}

impl SimdLoop for ToLargest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (windows, channels) = (self.windows, self.windows.output.channels);
        let leaving = windows.output.numbers();
        assert!(self.to.len() == windows.input.numbers());
        assert!(self.gradient.len() == leaving && self.taps.len() == leaving);
        // SAFETY: inside `Vectors::run`.
        let (zero, half, one) = unsafe { (S::splat(0.0), S::splat(0.5), S::splat(1.0)) };
        let mut at = 0;
        for (row, tap_rows) in windows.rows.iter().enumerate() {
            for (column, tap_columns) in windows.columns.iter().enumerate() {
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    // SAFETY: as in the forward pass.
                    unsafe {
                        let gradient = load::<S>(self.gradient.as_ptr().add(at + channel), count);
                        let chosen = load::<S>(self.taps.as_ptr().add(at + channel), count);
                        let first = (tap_rows.start, tap_columns.start);
                        let position = windows.position((row, column), first);
                        let mut line = self.to.as_mut_ptr().add(position * channels + channel);
                        for tap_row in tap_rows.clone() {
                            let mut to = line;
                            // How far the chosen tap is from this one, in the order of taps.
                            let tap = windows.number((tap_row, tap_columns.start)) as f32;
                            let mut apart = S::subtract(chosen, S::splat(tap));
                            for _ in tap_columns.clone() {
                                // Above 0 where the two whole numbers are the same.
                                let same = S::subtract(half, S::multiply(apart, apart));
                                let share = S::where_positive(same, gradient, zero);
                                store::<S>(to, S::add(load::<S>(to, count), share), count);
                                apart = S::subtract(apart, one);
                                to = to.wrapping_add(channels);
                            }
                            line = line.wrapping_add(windows.input.width * channels);
                        }
                    }
                }
                at += channels;
            }
        }
    }
}

/// The mean of every window of a row.
struct Mean<'a> {
    windows: &'a Windows,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl SimdLoop for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (windows, channels) = (self.windows, self.windows.output.channels);
        assert!(self.from.len() == windows.input.numbers() && self.to.len() == windows.output.numbers());
        let mut at = 0;
        for (row, tap_rows) in windows.rows.iter().enumerate() {
            for (column, tap_columns) in windows.columns.iter().enumerate() {
                let share = 1.0 / (tap_rows.len() * tap_columns.len()) as f32;
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    // SAFETY: taps that lie inside see positions of the row that enters, whose channels from `channel` on
                    // are at least `count`, as are those of the output.
                    unsafe {
                        let first = (tap_rows.start, tap_columns.start);
                        let position = windows.position((row, column), first);
                        let mut line = self.from.as_ptr().add(position * channels + channel);
                        let mut sum = S::splat(0.0);
                        for _ in tap_rows.clone() {
                            let mut from = line;
                            for _ in tap_columns.clone() {
                                sum = S::add(sum, load::<S>(from, count));
                                from = from.wrapping_add(channels);
                            }
                            line = line.wrapping_add(windows.input.width * channels);
                        }
                        let mean = S::multiply(sum, S::splat(share));
                        store::<S>(self.to.as_mut_ptr().add(at + channel), mean, count);
                    }
                }
                at += channels;
            }
        }
    }
}

/// A share of the gradient of every window of a row, added to all its taps.
struct ToAll<'a> {
    windows: &'a Windows,
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl SimdLoop for ToAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (windows, channels) = (self.windows, self.windows.output.channels);
        assert!(self.to.len() == windows.input.numbers() && self.gradient.len() == windows.output.numbers());
        let mut at = 0;
        for (row, tap_rows) in windows.rows.iter().enumerate() {
            for (column, tap_columns) in windows.columns.iter().enumerate() {
                let share = 1.0 / (tap_rows.len() * tap_columns.len()) as f32;
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    // SAFETY: as in the forward pass.
                    unsafe {
                        let gradient = load::<S>(self.gradient.as_ptr().add(at + channel), count);
                        let gradient = S::multiply(gradient, S::splat(share));
                        let first = (tap_rows.start, tap_columns.start);
                        let position = windows.position((row, column), first);
                        let mut line = self.to.as_mut_ptr().add(position * channels + channel);
                        for _ in tap_rows.clone() {
                            let mut to = line;
                            for _ in tap_columns.clone() {
                                store::<S>(to, S::add(load::<S>(to, count), gradient), count);
                                to = to.wrapping_add(channels);
                            }
                            line = line.wrapping_add(windows.input.width * channels);
                        }
                    }
                }
                at += channels;
            }
        }
    }
}
