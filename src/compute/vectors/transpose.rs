//! Turning a matrix: rows become columns, eight by eight in registers where the processor can.

/// A matrix in a slice: `rows` by `columns`, each row `pitch` numbers after the one before.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Rows of the matrix that is read.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// From one of its rows to the next.
    pub pitch: usize,
    /// From one row of the turned matrix to the next.
    pub turned_pitch: usize,
}

/// Side of the blocks.
const SIDE: usize = 8;

/// Writes `to[column * turned_pitch + row] = from[row * pitch + column]`.
///
/// # Panics
/// Slices that are too short.
pub fn transpose(from: &[f32], to: &mut [f32], extent: Extent) {
    let Extent { rows, columns, pitch, turned_pitch } = extent;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * pitch + columns <= from.len() && (columns - 1) * turned_pitch + rows <= to.len());
    let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
    for row in (0..whole_rows).step_by(SIDE) {
        for column in (0..whole_columns).step_by(SIDE) {
            let (from, to) = (&from[row * pitch + column..], &mut to[column * turned_pitch + row..]);
            block(from, pitch, to, turned_pitch);
        }
    }
    let mut one = |row: usize, column: usize| to[column * turned_pitch + row] = from[row * pitch + column];
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        (first..columns).for_each(|column| one(row, column));
    }
}

#[inline]
fn block(from: &[f32], pitch: usize, to: &mut [f32], turned_pitch: usize) {
    assert!((SIDE - 1) * pitch + SIDE <= from.len() && (SIDE - 1) * turned_pitch + SIDE <= to.len());
    #[cfg(target_arch = "x86_64")]
    if super::Vectors::widest() != super::Vectors::Plain {
        // SAFETY: the processor has AVX2, and eight rows of eight numbers lie within both slices.
        return unsafe { block_avx2(from.as_ptr(), pitch, to.as_mut_ptr(), turned_pitch) };
    }
    for row in 0..SIDE {
        for column in 0..SIDE {
            to[column * turned_pitch + row] = from[row * pitch + column];
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn block_avx2(from: *const f32, pitch: usize, to: *mut f32, turned_pitch: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's promise.
    let row = |index: usize| unsafe { _mm256_loadu_ps(from.add(index * pitch)) };
    // SAFETY: the caller's promise.
    let put = |index: usize, vector| unsafe { _mm256_storeu_ps(to.add(index * turned_pitch), vector) };
    // Pairs of numbers, then fours, then the halves of the registers.
    let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let four = |a: (__m256, __m256), b: (__m256, __m256)| {
        [
            _mm256_shuffle_ps::<0x44>(a.0, b.0),
            _mm256_shuffle_ps::<0xee>(a.0, b.0),
            _mm256_shuffle_ps::<0x44>(a.1, b.1),
            _mm256_shuffle_ps::<0xee>(a.1, b.1),
        ]
    };
    let above = four(pair(row(0), row(1)), pair(row(2), row(3)));
    let below = four(pair(row(4), row(5)), pair(row(6), row(7)));
    for index in 0..4 {
        put(index, _mm256_permute2f128_ps::<0x20>(above[index], below[index]));
        put(index + 4, _mm256_permute2f128_ps::<0x31>(above[index], below[index]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_finds_its_place(rows in 0usize..40, columns in 0usize..40, gap in 0usize..4, turned_gap in 0usize..4) {
            let extent = Extent { rows, columns, pitch: columns + gap, turned_pitch: rows + turned_gap };
            let from: Vec<f32> = (0..rows * extent.pitch).map(|number| number as f32).collect();
            let mut to = vec![-1.0; columns * extent.turned_pitch];
            transpose(&from, &mut to, extent);
            for (at, &number) in to.iter().enumerate() {
                let (column, row) = (at / extent.turned_pitch, at % extent.turned_pitch);
                let expected = if row < rows { (row * extent.pitch + column) as f32 } else { -1.0 };
                prop_assert_eq!(number, expected);
            }
        }
    }
}
