//! Who computes a kernel: how many threads of the current pool, and with which vectors.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::compute::vectors::Vectors;

/// Work below this many operations is not handed to other threads: handing over costs as much as it takes. Tests share
/// whatever they can.
const WORTH_SHARING: usize = if cfg!(test) { 1 } else { 1 << 22 };

/// The threads and vectors of a program.
#[derive(Debug, Clone, Copy)]
pub struct Crew {
    /// The vector instructions to use.
    pub vectors: Vectors,
    /// How many threads may take part: those of the rayon pool that the program runs on.
    pub threads: usize,
}

impl Crew {
    /// One thread, on the widest vectors that the processor has.
    pub fn alone() -> Self {
        Self { vectors: Vectors::widest(), threads: 1 }
    }

    /// All threads of the pool that this is called on.
    pub fn of_pool() -> Self {
        Self { vectors: Vectors::widest(), threads: rayon::current_num_threads() }
    }

    /// Runs `work` for each of `tasks` tasks, in any order, on several threads if all of them together take `operations`
    /// worth sharing. They are counted in time: a number that is only read, changed and written takes that of about 8, one
    /// of a product's multiply-adds that of 2. A task must not depend on another.
    pub fn each(&self, tasks: usize, operations: usize, work: impl Fn(usize) + Sync + Send) {
        if self.shares(tasks, operations) {
            (0..tasks).into_par_iter().with_max_len(tasks.div_ceil(self.threads * 4)).for_each(work);
        } else {
            (0..tasks).for_each(work);
        }
    }

    fn shares(&self, tasks: usize, operations: usize) -> bool {
        self.threads > 1 && tasks > 1 && operations >= WORTH_SHARING
    }

    /// Gives every element of `results` what `work` gives for its index.
    pub fn fill<T: Send>(&self, results: &mut [T], operations: usize, work: impl Fn(usize) -> T + Sync + Send) {
        if self.shares(results.len(), operations) {
            results.par_iter_mut().enumerate().for_each(|(index, result)| *result = work(index));
        } else {
            results.iter_mut().enumerate().for_each(|(index, result)| *result = work(index));
        }
    }

    /// Cuts `count` elements into pieces of `piece` and runs `work` on each.
    pub fn pieces(&self, count: usize, piece: usize, operations: usize, work: impl Fn(Range<usize>) + Sync + Send) {
        self.each(count.div_ceil(piece), operations, |index| {
            let start = index * piece;
            work(start..(start + piece).min(count));
        });
    }
}

/// A slice that several tasks write at once, each a part of its own.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    start: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: only `part` gives access, and whoever calls it promises that no two parts overlap.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Takes the slice for as long as tasks write it.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// Where it begins.
    pub fn start(self) -> *mut f32 {
        self.start
    }

    /// A part that several tasks write, each positions of its own.
    pub fn alias(self, range: Range<usize>) -> *mut [f32] {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies within its slice");
        std::ptr::slice_from_raw_parts_mut(self.start.wrapping_add(range.start), range.len())
    }

    /// A part of it to read.
    ///
    /// # Safety
    /// No part that overlaps this one is being written.
    pub unsafe fn view(self, range: Range<usize>) -> &'a [f32] {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies within its slice");
        // SAFETY: it lies within the slice, and the caller promises that nobody writes it.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// A part of it to write.
    ///
    /// # Safety
    /// No part that overlaps this one is in use at the same time.
    pub unsafe fn part(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies within its slice");
        // SAFETY: it lies within the slice, and the caller promises that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_alone_and_in_company() {
        for threads in [1, 3] {
            let crew = Crew { threads, ..Crew::alone() };
            let mut numbers = vec![0.0; 1003];
            let shared = Shared::new(&mut numbers);
            crew.pieces(1003, 100, usize::MAX, |range| {
                // SAFETY: pieces do not overlap.
                unsafe { shared.part(range) }.iter_mut().for_each(|number| *number += 1.0);
            });
            assert!(numbers.iter().all(|&number| number == 1.0));
        }
    }
}
