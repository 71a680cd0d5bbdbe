//! The two register tiles that carry nearly all arithmetic: rows of numbers times a panel of weights (a forward pass, or
//! the gradient by an input), and sums of outer products (the gradient by a weight).
//!
//! A tile keeps its sums in registers: up to 8 rows (16 where the panel is one vector wide) by up to two vectors. Every
//! number that is loaded meets a whole vector, so that on wide vectors the tile runs at the rate of multiply-adds, not of
//! loads. Sums run in one order for every element, whatever tile it falls into. For the kernels of this folder.
//!
//! Vectors pass through nothing but `#[inline(always)]` functions: a closure would be compiled for narrow vectors, and
//! called.

// Loops over registers are written by index, as the registers lie: the compiler unrolls them.
#![expect(clippy::needless_range_loop)]

use crate::compute::vectors::Simd;

/// How many vectors wide a panel is; the last panel of a matrix may be one.
pub(super) const VECTORS: usize = 2;

/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;

/// A panel of weights, packed `[taps][run][vectors * lanes]`, and what becomes of the sums.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// The packed weights.
    pub weights: &'a [f32],
    /// How many columns are stored: at most the panel's width.
    pub columns: usize,
    /// Where a row's runs begin, relative to the row's own start.
    pub taps: &'a [usize],
    /// How many numbers lie behind each tap.
    pub run: usize,
    /// What is added to every sum first, one number a column; empty for nothing.
    pub bias: &'a [f32],
    /// What is done with the sums.
    pub finish: Finish,
}

/// What is done with a sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Finish {
    /// It is stored.
    Store,
    /// max(x, slope * x) is stored.
    Rectify(f32),
    /// It is added to what stands there.
    Add,
}

/// Multiplies `count` rows with a panel: `from` says where a row's numbers begin, `to` where its columns go.
///
/// # Safety
/// Inside [`crate::compute::vectors::Vectors::run`]; every tap of every row and every column lies in memory that may be
/// read and written.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(
    panel: Panel<'_>,
    count: usize,
    from: impl Fn(usize) -> *const f32,
    to: impl Fn(usize) -> *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if panel.columns > S::LANES {
            rows::<S, 2>(panel, count, from, to);
        } else {
            rows::<S, 1>(panel, count, from, to);
        }
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, const V: usize>(
    panel: Panel<'_>,
    count: usize,
    from: impl Fn(usize) -> *const f32,
    to: impl Fn(usize) -> *mut f32,
) {
    let mut row = 0;
    // SAFETY: the caller's promise.
    unsafe {
        if S::LANES == 16 {
            while V == 1 && count - row >= 16 {
                rows_of::<S, 16, V>(panel, row, &from, &to);
                row += 16;
            }
            while count - row >= 8 {
                rows_of::<S, 8, V>(panel, row, &from, &to);
                row += 8;
            }
        }
        while count - row >= 4 {
            rows_of::<S, 4, V>(panel, row, &from, &to);
            row += 4;
        }
        while row < count {
            rows_of::<S, 1, V>(panel, row, &from, &to);
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn rows_of<S: Simd, const R: usize, const V: usize>(
    panel: Panel<'_>,
    row: usize,
    from: &impl Fn(usize) -> *const f32,
    to: &impl Fn(usize) -> *mut f32,
) {
    let mut starts = [std::ptr::null(); R];
    for index in 0..R {
        starts[index] = from(row + index);
    }
    // SAFETY: the caller's promise; a panel has `taps * run` lines of V vectors.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        let mut weights = panel.weights.as_ptr();
        for &tap in panel.taps {
            let mut heads = starts;
            for index in 0..R {
                heads[index] = starts[index].add(tap);
            }
            for at in 0..panel.run {
                let line = vectors::<S, V>(weights);
                weights = weights.add(V * S::LANES);
                for index in 0..R {
                    let number = S::splat(*heads[index].add(at));
                    for vector in 0..V {
                        sums[index][vector] = S::multiply_add(number, line[vector], sums[index][vector]);
                    }
                }
            }
        }
        // Laid down by constant indices, or the compiler would keep them in memory all along.
        let mut laid = [[[0.0f32; MOST_LANES]; V]; R];
        for index in 0..R {
            for vector in 0..V {
                S::store(laid[index][vector].as_mut_ptr(), sums[index][vector]);
            }
        }
        for (index, laid) in laid.iter().enumerate() {
            let target = to(row + index);
            for (vector, laid) in laid.iter().enumerate() {
                finish::<S>(&panel, S::load(laid.as_ptr()), vector, target);
            }
        }
    }
}

/// V vectors that follow each other.
#[inline(always)]
unsafe fn vectors<S: Simd, const V: usize>(from: *const f32) -> [S::Vector; V] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut line = [S::splat(0.0); V];
        for vector in 0..V {
            line[vector] = S::load(from.add(vector * S::LANES));
        }
        line
    }
}

/// So many numbers from memory, up to a whole vector.
///
/// # Safety
/// Inside [`crate::compute::vectors::Vectors::run`]; the pointer is valid for `count` numbers, 1 to all lanes.
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

/// Stores one vector of a row's sums.
#[inline(always)]
unsafe fn finish<S: Simd>(panel: &Panel<'_>, sum: S::Vector, vector: usize, target: *mut f32) {
    let start = vector * S::LANES;
    let count = (panel.columns - start).min(S::LANES);
    // SAFETY: `count` columns from `start` are the target's, and the bias has as many numbers as there are columns.
    unsafe {
        let mut value = sum;
        if !panel.bias.is_empty() {
            value = S::add(value, load::<S>(panel.bias.as_ptr().add(start), count));
        }
        match panel.finish {
            Finish::Store => {}
            Finish::Rectify(slope) => value = S::positive_or(value, S::multiply(value, S::splat(slope))),
            Finish::Add => value = S::add(value, load::<S>(target.add(start), count)),
        }
        store::<S>(target.add(start), value, count);
    }
}

/// Pairs of rows whose outer products are summed: number `i` of the one side times vector of the other.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    /// How many pairs there are in a line, and how far apart they lie on each side.
    pub count: usize,
    pub left_step: usize,
    pub right_step: usize,
    /// How many lines of pairs there are, and how far apart those lie.
    pub lines: usize,
    pub left_line: usize,
    pub right_line: usize,
}

/// A block of a matrix of sums: `target[row * pitch + column]`.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub target: *mut f32,
    pub pitch: usize,
    pub rows: usize,
    pub columns: usize,
    /// `Store` or `Add`.
    pub finish: Finish,
}

impl Block {
    /// The block without its first rows.
    #[inline(always)]
    unsafe fn without_rows(self, row: usize) -> Self {
        // SAFETY: the row lies within the block.
        Self { target: unsafe { self.target.add(row * self.pitch) }, ..self }
    }
}

/// Sums the outer products of all pairs into a block: `rows` consecutive numbers of the left side times `columns` of the
/// right.
///
/// # Safety
/// Inside [`crate::compute::vectors::Vectors::run`]; all numbers of the pairs may be read, the block be written.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd>(pairs: Pairs, left: *const f32, right: *const f32, block: Block) {
    let width = VECTORS * S::LANES;
    let mut column = 0;
    // SAFETY: the caller's promise; parts lie within the block.
    unsafe {
        while column < block.columns {
            let columns = (block.columns - column).min(width);
            let strip = Block { target: block.target.add(column), columns, ..block };
            if columns > S::LANES {
                strips::<S, 2>(pairs, left, right.add(column), strip);
            } else {
                strips::<S, 1>(pairs, left, right.add(column), strip);
            }
            column += columns;
        }
    }
}

#[inline(always)]
unsafe fn strips<S: Simd, const V: usize>(pairs: Pairs, left: *const f32, right: *const f32, block: Block) {
    let whole = block.columns == V * S::LANES;
    let mut row = 0;
    // SAFETY: the caller's promise.
    unsafe {
        if S::LANES == 16 {
            while V == 1 && block.rows - row >= 16 {
                match whole {
                    true => sums::<S, 16, V, true>(pairs, left.add(row), right, block.without_rows(row)),
                    false => sums::<S, 16, V, false>(pairs, left.add(row), right, block.without_rows(row)),
                }
                row += 16;
            }
            while block.rows - row >= 8 {
                match whole {
                    true => sums::<S, 8, V, true>(pairs, left.add(row), right, block.without_rows(row)),
                    false => sums::<S, 8, V, false>(pairs, left.add(row), right, block.without_rows(row)),
                }
                row += 8;
            }
        }
        while block.rows - row >= 4 {
            sums::<S, 4, V, false>(pairs, left.add(row), right, block.without_rows(row));
            row += 4;
        }
        while row < block.rows {
            sums::<S, 1, V, false>(pairs, left.add(row), right, block.without_rows(row));
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn sums<S: Simd, const R: usize, const V: usize, const WHOLE: bool>(
    pairs: Pairs,
    left: *const f32,
    right: *const f32,
    block: Block,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // How many lanes the last vector has.
        let last = if WHOLE { S::LANES } else { block.columns - (V - 1) * S::LANES };
        let mut sums = [[S::splat(0.0); V]; R];
        for line in 0..pairs.lines {
            let (mut left, mut right) = (left.add(line * pairs.left_line), right.add(line * pairs.right_line));
            for _ in 0..pairs.count {
                let mut vectors = [S::splat(0.0); V];
                for vector in 0..V {
                    let count = if vector + 1 < V { S::LANES } else { last };
                    vectors[vector] = load::<S>(right.add(vector * S::LANES), count);
                }
                for row in 0..R {
                    let number = S::splat(*left.add(row));
                    for vector in 0..V {
                        sums[row][vector] = S::multiply_add(number, vectors[vector], sums[row][vector]);
                    }
                }
                left = left.wrapping_add(pairs.left_step);
                right = right.wrapping_add(pairs.right_step);
            }
        }
        for row in 0..R {
            let target = block.target.add(row * block.pitch);
            for vector in 0..V {
                let count = if vector + 1 < V { S::LANES } else { last };
                let to = target.add(vector * S::LANES);
                let mut value = sums[row][vector];
                if block.finish == Finish::Add {
                    value = S::add(value, load::<S>(to, count));
                }
                store::<S>(to, value, count);
            }
        }
    }
}
