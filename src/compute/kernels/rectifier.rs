//! The rectifiers: x above 0, and x times a slope below. On their own, or behind a kernel that does their work in passing.

use super::activation::Function;
use crate::compute::vectors::{Loop, widest};

/// ReLU with slope 0, LeakyReLU with a slope above 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectifier {
    /// What numbers below 0 are multiplied by.
    pub slope: f32,
}

impl Function for Rectifier {
    const SEES_VALUE: bool = true;
    const OPERATIONS: usize = 8;

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

impl Rectifier {
    /// Turns the gradient behind the rectifier into that before it, given its values.
    pub(super) fn turn_back(self, gradient: &mut [f32], values: &[f32]) {
        widest(TurnBack { rectifier: self, gradient, values });
    }
}

struct TurnBack<'a> {
    rectifier: Rectifier,
    gradient: &'a mut [f32],
    values: &'a [f32],
}

impl Loop for TurnBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (gradient, &value) in self.gradient.iter_mut().zip(self.values) {
            *gradient *= self.rectifier.slope(value);
        }
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
