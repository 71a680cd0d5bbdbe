//! Packing: a matrix of weights as panels, in the order in which a tile reads them.

use std::ops::Range;

use super::tile::VECTORS;
use crate::compute::vectors::{Extent, transpose};

/// A matrix to pack: the element of a column lies `column * column_step` behind that of column 0 at the same depth, and
/// depths are listed as runs.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    /// The weights as their parameter lies.
    pub weights: &'a [f32],
    /// Where the element of column 0 lies, for the first of every run of depths.
    pub runs: &'a [usize],
    /// From one depth of a run to the next.
    pub depth_step: usize,
    /// Depths of a run.
    pub depths: usize,
    /// From one column to the next.
    pub column_step: usize,
}

impl Matrix<'_> {
    /// How many depths there are.
    pub fn depth(&self) -> usize {
        self.runs.len() * self.depths
    }

    /// Packs columns of one panel `[depth][width]`, `width` being one or two vectors of `lanes`; columns that are not
    /// there are 0.
    pub fn pack(&self, columns: Range<usize>, lanes: usize, to: &mut [f32]) {
        let width = width(columns.len(), lanes);
        if columns.len() < width {
            to[..self.depth() * width].fill(0.0);
        }
        for (run, &start) in self.runs.iter().enumerate() {
            let lines = &mut to[run * self.depths * width..(run + 1) * self.depths * width];
            if self.column_step == 1 {
                for (depth, line) in lines.chunks_exact_mut(width).enumerate() {
                    let from = start + depth * self.depth_step + columns.start;
                    line[..columns.len()].copy_from_slice(&self.weights[from..from + columns.len()]);
                }
                continue;
            }
            if self.depth_step == 1 {
                let from = &self.weights[start + columns.start * self.column_step..];
                let (rows, columns) = (columns.len(), self.depths);
                transpose(from, lines, Extent { rows, columns, pitch: self.column_step, turned_pitch: width });
                continue;
            }
            // A few depths at a time: what is read of a column lies in one line of the cache, what is written stays in it.
            for (block, lines) in lines.chunks_mut(16 * width).enumerate() {
                for (lane, column) in columns.clone().enumerate() {
                    let from = start + block * 16 * self.depth_step + column * self.column_step;
                    let numbers = self.weights[from..].iter().step_by(self.depth_step);
                    lines[lane..].iter_mut().step_by(width).zip(numbers).for_each(|(to, &number)| *to = number);
                }
            }
        }
    }

    /// Packs all of `columns` columns, panel behind panel.
    pub fn pack_all(&self, columns: usize, lanes: usize, to: &mut [f32]) {
        let whole = VECTORS * lanes;
        for start in (0..columns).step_by(whole) {
            let range = start..(start + whole).min(columns);
            self.pack(range, lanes, &mut to[start * self.depth()..]);
        }
    }
}

/// How wide a panel of so many columns is: one or two vectors.
pub(super) fn width(columns: usize, lanes: usize) -> usize {
    if columns > lanes { VECTORS * lanes } else { lanes }
}

/// How many numbers the panels of a matrix take.
pub(super) fn packed(depth: usize, columns: usize, lanes: usize) -> usize {
    let whole = VECTORS * lanes;
    let rest = columns % whole;
    depth * (columns - rest + if rest == 0 { 0 } else { width(rest, lanes) })
}
