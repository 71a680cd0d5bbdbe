//! The one block of memory that a program's values live in.

use std::ops::Range;

use crate::compute::kernels::Shared;

use super::layout::LINE;

/// A place in the block, for a batch of any number of rows up to the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slot {
    pub start: usize,
    pub per_row: usize,
    pub per_batch: usize,
}

impl Slot {
    fn range(&self, rows: usize) -> Range<usize> {
        self.start..self.start + self.per_row * rows + self.per_batch
    }
}

/// The block itself.
#[derive(Debug, Default)]
pub(super) struct Arena {
    numbers: Vec<f32>,
}

impl Arena {
    /// A block of so many numbers.
    pub fn new(length: usize) -> Self {
        Self { numbers: vec![0.0; Self::taken(length)] }
    }

    /// How many numbers a block of so many has: the beginning is moved to that of a line.
    pub fn taken(length: usize) -> usize {
        length + LINE
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Leaves numbers in it that show wherever they are read.
    #[cfg(test)]
    pub fn spoil(&mut self) {
        self.numbers.fill(f32::NAN);
    }

    /// The block as parts that are told apart by the plan.
    pub fn open(&mut self) -> Open<'_> {
        // A line of the cache is 64 bytes; what the plan aligns to lines then is so in memory.
        let skip = self.numbers.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        let length = self.numbers.len() - LINE;
        Open { numbers: Shared::new(&mut self.numbers[skip..skip + length]) }
    }
}

/// A block whose slots are read and written.
#[derive(Clone, Copy)]
pub(super) struct Open<'a> {
    numbers: Shared<'a>,
}

impl<'a> Open<'a> {
    /// A slot to read.
    ///
    /// # Safety
    /// No slot that overlaps it is being written.
    pub unsafe fn read(self, slot: Slot, rows: usize) -> &'a [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.numbers.view(slot.range(rows)) }
    }

    /// A slot to write.
    ///
    /// # Safety
    /// No slot that overlaps it is in use.
    pub unsafe fn write(self, slot: Slot, rows: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.numbers.part(slot.range(rows)) }
    }
}
