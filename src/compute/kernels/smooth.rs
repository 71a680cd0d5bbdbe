//! The activations without a kink: the logistic function, the hyperbolic tangent, SiLU and GELU.

use super::activation::Function;
use super::exp::{exp, exp_less_one};

/// 1 / (1 + exp(-x)).
#[derive(Debug, Clone, Copy)]
pub struct Sigmoid;

/// The hyperbolic tangent.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

/// x times the logistic function of x.
#[derive(Debug, Clone, Copy)]
pub struct Silu;

/// x times the share of a normal distribution below x.
#[derive(Debug, Clone, Copy)]
pub struct Gelu;

impl Function for Sigmoid {
    const SEES_VALUE: bool = true;
    const OPERATIONS: usize = 30;

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        logistic(x)
    }

    #[inline(always)]
    fn slope(self, value: f32) -> f32 {
        value * (1.0 - value)
    }
}

impl Function for Tanh {
    const SEES_VALUE: bool = true;
    const OPERATIONS: usize = 40;

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        // (exp(2x) - 1) / (exp(2x) + 1); from 10 up it is 1 to the last bit.
        let far = x.abs();
        let far = if far > 10.0 { 10.0 } else { far };
        let power = exp_less_one(2.0 * far);
        (power / (power + 2.0)).copysign(x)
    }

    #[inline(always)]
    fn slope(self, value: f32) -> f32 {
        1.0 - value * value
    }
}

impl Function for Silu {
    const SEES_VALUE: bool = false;
    const OPERATIONS: usize = 40;

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * logistic(x)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let share = logistic(x);
        share * (1.0 + x * (1.0 - share))
    }
}

impl Function for Gelu {
    const SEES_VALUE: bool = false;
    const OPERATIONS: usize = 55;

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * share_below(x).0
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
        let (share, bell) = share_below(x);
        share + x * (bell * FRAC_1_SQRT_2PI)
    }
}

/// The logistic function; the power of e is infinite for small x, and its reciprocal is then the 0 that it should be.
#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The share of a normal distribution below x, to 1e-7 (Abramowitz and Stegun 1964, 7.1.26), and exp(-x² / 2).
#[inline(always)]
fn share_below(x: f32) -> (f32, f32) {
    let far = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    // From 15 standard deviations on nothing is left, and there is nothing more to square.
    let near = if far > 11.0 { 11.0 } else { far };
    let bell = exp(-near * near);
    let t = 1.0 / (1.0 + 0.327_591_1 * near);
    let series = 1.061_405_4 * t - 1.453_152;
    let series = series * t + 1.421_413_7;
    let series = series * t - 0.284_496_74;
    let series = series * t + 0.254_829_6;
    let beyond = 0.5 * series * t * bell;
    // 1 less what lies beyond where x has no sign, and what lies beyond where it has one.
    ((0.5 + 0.5f32.copysign(x)) - beyond.copysign(x), bell)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The function and its slope at the argument, whatever the slope wants to see.
    fn both<F: Function>(function: F, x: f32) -> [f32; 2] {
        let value = function.value(x);
        [value, function.slope(if F::SEES_VALUE { value } else { x })]
    }

    #[test]
    fn far_from_0_they_are_what_they_tend_to() {
        for far in [30.0, 200.0, 1e10, f32::MAX] {
            assert_eq!([both(Sigmoid, far), both(Sigmoid, -far)].map(|[value, _]| value.round()), [1.0, 0.0]);
            assert_eq!([both(Tanh, far), both(Tanh, -far)], [[1.0, 0.0], [-1.0, 0.0]]);
            assert_eq!([both(Silu, far), both(Gelu, far)], [[far, 1.0], [far, 1.0]]);
            assert!(both(Gelu, -far).iter().chain(&both(Silu, -far)).all(|number| number.abs() < 1e-10));
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let all = [both(Sigmoid, f32::NAN), both(Tanh, f32::NAN), both(Silu, f32::NAN), both(Gelu, f32::NAN)];
        assert!(all.as_flattened().iter().all(|number| number.is_nan()));
    }

    #[test]
    fn small_numbers_keep_their_digits_in_the_tangent() {
        for x in [1e-30f32, 1e-8, 1e-4, 0.01, 0.3] {
            let expected = f64::from(x).tanh();
            assert!((f64::from(Tanh.value(x)) / expected - 1.0).abs() < 5e-7, "{x}");
            assert_eq!(Tanh.value(-x), -Tanh.value(x));
        }
    }
}
