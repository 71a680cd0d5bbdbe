//! What the layers with weights share: the rectifier behind them on the way back, and sums over rows.

use crate::compute::vectors::{Loop, widest};

/// The gradient before the rectifier, from that after it and the sign of its output.
pub(super) fn rectify_gradient(gradient: &mut [f32], output: &[f32], slope: f32) {
    widest(RectifyGradient { gradient, output, slope });
}

struct RectifyGradient<'a> {
    gradient: &'a mut [f32],
    output: &'a [f32],
    slope: f32,
}

impl Loop for RectifyGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (gradient, &output) in self.gradient.iter_mut().zip(self.output) {
            *gradient = if output > 0.0 { *gradient } else { self.slope * *gradient };
        }
    }
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
