//! Windows over a plane as the pools and the convolutions of single channels walk them: output by output, tap by tap,
//! the channels of a position as vectors.

use std::ops::Range;

use super::crew::Crew;
use super::kernel::Place;
use super::strip::Sliding;
use crate::compute::vectors::{Simd, Vectors};

/// A window that slides over images of one place.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// What enters.
    pub input: Place,
    /// What leaves; its channels may be others.
    pub output: Place,
    sliding: Sliding,
    /// For every row of outputs the rows of taps that lie inside the plane.
    pub rows: Vec<Range<usize>>,
    /// For every column of outputs the columns of taps that do.
    pub columns: Vec<Range<usize>>,
}

impl Windows {
    /// A window that fits the plane.
    pub(super) fn new(input: Place, output: Place, sliding: Sliding) -> Self {
        let inside = |axis: usize, outputs: usize, side: usize| {
            let of = move |output: usize| {
                let (start, step) = (output * sliding.stride[axis], sliding.dilation[axis]);
                let end = (side + sliding.padding[axis]).saturating_sub(start).div_ceil(step).min(sliding.kernel[axis]);
                let first = sliding.padding[axis].saturating_sub(start).div_ceil(step).min(end);
                first..end
            };
            (0..outputs).map(of).collect()
        };
        let rows = inside(0, output.height, input.height);
        let columns = inside(1, output.width, input.width);
        Self { input, output, sliding, rows, columns }
    }

    /// The position that a tap of an output sees. For taps inside the plane.
    #[inline(always)]
    pub(super) fn position(&self, output: (usize, usize), tap: (usize, usize)) -> usize {
        let at = |axis: usize, output: usize, tap: usize| {
            output * self.sliding.stride[axis] + tap * self.sliding.dilation[axis] - self.sliding.padding[axis]
        };
        at(0, output.0, tap.0) * self.input.width + at(1, output.1, tap.1)
    }

    /// The number of a tap, row-major.
    #[inline(always)]
    pub(super) fn number(&self, tap: (usize, usize)) -> usize {
        tap.0 * self.sliding.kernel[1] + tap.1
    }

    /// How many taps a window has.
    pub(super) fn taps(&self) -> usize {
        self.sliding.kernel[0] * self.sliding.kernel[1]
    }

    /// Operations of one row, about one for a tap.
    pub(super) fn operations(&self) -> usize {
        self.output.numbers() * self.taps()
    }
}

/// The vectors for so many channels: parts of wide ones cost more than whole narrow ones.
pub(super) fn vectors_for(channels: usize, crew: &Crew) -> Vectors {
    match crew.vectors {
        Vectors::Avx512 if channels <= Vectors::Avx2.lanes() => Vectors::Avx2,
        vectors => vectors,
    }
}

/// So many numbers from memory, up to a whole vector.
///
/// # Safety
/// Inside [`crate::compute::vectors::Vectors::run`]; `from` is valid for `count` numbers, 1 to all lanes.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32, count: usize) -> S::Vector {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { S::load(from) } else { S::load_part(from, count) } }
}

/// So many numbers to memory, up to a whole vector.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, vector: S::Vector, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { S::store(to, vector) } else { S::store_part(to, vector, count) } }
}
