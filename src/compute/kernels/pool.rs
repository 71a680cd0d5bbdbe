//! The pools: the largest number, or the mean, of every window of a plane. What lies in the padding is not seen.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::put::Put;
use super::strip::Sliding;
use super::tile::{load, store};
use super::window::{Output, Tap, Walker, Windows, vectors_for};
use crate::compute::vectors::Simd;

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
                    windows.walk(vectors, Largest { from, to, taps });
                }
                Pooled::Mean => windows.walk(vectors, Mean { from, to }),
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
                Pooled::Largest => windows.walk(vectors, ToLargest { gradient, taps: &saved[range], to }),
                Pooled::Mean => windows.walk(vectors, ToAll { gradient, to }),
            }
        });
    }
}

/// The largest number of every window of a row, and its tap if `taps` is as long.
struct Largest<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    taps: &'a mut [f32],
}

impl Walker for Largest<'_> {
    /// The largest so far and its tap.
    type Carried<S: Simd> = [S::Vector; 2];

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        self.from.len() == windows.input.numbers() && self.to.len() == windows.output.numbers()
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, first: Tap) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe { [load::<S>(self.from.as_ptr().add(first.seen), output.count), S::splat(first.number)] }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, [largest, chosen]: [S::Vector; 2]) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let number = load::<S>(self.from.as_ptr().add(tap.seen), output.count);
            let more = S::subtract(number, largest);
            let chosen = S::where_positive(more, S::splat(tap.number), chosen);
            [S::where_positive(more, number, largest), chosen]
        }
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, output: Output, [largest, chosen]: [S::Vector; 2]) {
        // SAFETY: the caller's promise.
        unsafe {
            store::<S>(self.to.as_mut_ptr().add(output.at), largest, output.count);
            if self.taps.len() == self.to.len() {
                store::<S>(self.taps.as_mut_ptr().add(output.at), chosen, output.count);
            }
        }
    }
}

/// The gradient of every window of a row, added to the tap that was chosen.
struct ToLargest<'a> {
    gradient: &'a [f32],
    taps: &'a [f32],
    to: &'a mut [f32],
}

impl Walker for ToLargest<'_> {
    /// The gradient and the tap that was chosen.
    type Carried<S: Simd> = [S::Vector; 2];

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        let leaving = windows.output.numbers();
        self.to.len() == windows.input.numbers() && self.gradient.len() == leaving && self.taps.len() == leaving
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let gradient = load::<S>(self.gradient.as_ptr().add(output.at), output.count);
            [gradient, load::<S>(self.taps.as_ptr().add(output.at), output.count)]
        }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, [gradient, chosen]: [S::Vector; 2]) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let apart = S::subtract(chosen, S::splat(tap.number));
            // Above 0 where the two whole numbers are the same.
            let same = S::subtract(S::splat(0.5), S::multiply(apart, apart));
            let share = S::where_positive(same, gradient, S::splat(0.0));
            let to = self.to.as_mut_ptr().add(tap.seen);
            store::<S>(to, S::add(load::<S>(to, output.count), share), output.count);
        }
        [gradient, chosen]
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, _: Output, _: [S::Vector; 2]) {}
}

/// The mean of every window of a row.
struct Mean<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Walker for Mean<'_> {
    /// The sum.
    type Carried<S: Simd> = S::Vector;

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        self.from.len() == windows.input.numbers() && self.to.len() == windows.output.numbers()
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, _: Output, _: Tap) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, sum: S::Vector) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { S::add(sum, load::<S>(self.from.as_ptr().add(tap.seen), output.count)) }
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, output: Output, sum: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe {
            let mean = S::multiply(sum, S::splat(output.share));
            store::<S>(self.to.as_mut_ptr().add(output.at), mean, output.count);
        }
    }
}

/// A share of the gradient of every window of a row, added to all its taps.
struct ToAll<'a> {
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Walker for ToAll<'_> {
    /// The share.
    type Carried<S: Simd> = S::Vector;

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        self.to.len() == windows.input.numbers() && self.gradient.len() == windows.output.numbers()
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let gradient = load::<S>(self.gradient.as_ptr().add(output.at), output.count);
            S::multiply(gradient, S::splat(output.share))
        }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, share: S::Vector) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.to.as_mut_ptr().add(tap.seen);
            store::<S>(to, S::add(load::<S>(to, output.count), share), output.count);
        }
        share
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, _: Output, _: S::Vector) {}
}
