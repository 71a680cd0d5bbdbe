//! The rectifiers: x above 0, and x times a slope below.

use super::activation::Function;

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
