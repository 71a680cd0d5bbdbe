//! The rectifiers, max(x, slope * x): ReLU where the slope is 0, LeakyReLU elsewhere. What layers fused with one share.

use super::activation::Function;
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

/// Adds the rows of `values`, `width` numbers each, to `sums`, in order.
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
        for row in self.values.chunks_exact(self.width) {
            self.sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
        }
    }
}

/// ReLU with slope 0, LeakyReLU with a slope above 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectifier {
    /// What numbers below 0 are multiplied by.
    pub slope: f32,
}

impl Function for Rectifier {
    const SEES_VALUE: bool = true;
    const OPERATIONS: usize = 1;

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.slope * x }
    }

    /// The value is above 0 exactly where the argument is.
    #[inline(always)]
    fn slope(self, value: f32) -> f32 {
        if value > 0.0 { 1.0 } else { self.slope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_at_exactly_0_is_that_below_and_what_is_not_a_number_stays_so() {
        let function = Rectifier { slope: 0.25 };
        assert_eq!([-2.0, -0.0, 0.0, 3.0].map(|x| function.value(x)), [-0.5, 0.0, 0.0, 3.0]);
        assert_eq!([-0.5, -0.0, 0.0, 3.0].map(|value| function.slope(value)), [0.25, 0.25, 0.25, 1.0]);
        assert!(function.value(f32::NAN).is_nan() && Rectifier { slope: 0.0 }.value(f32::NAN).is_nan());
    }
}
