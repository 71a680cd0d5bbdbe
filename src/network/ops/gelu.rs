//! GELU (Hendrycks and Gimpel 2016), the exact one: x times the share of a normal distribution below x. Not the
//! approximation by a tangent.

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::activation::Activation;
use super::document::Fields;
use crate::compute::kernels::{self, Everywhere, Kernel};
use crate::network::op::Op;

/// The Gaussian error linear unit of every element of any shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gelu;

impl Gelu {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Activation for Gelu {
    const KIND: &'static str = "gelu";
    const FLOPS: u64 = 5;

    fn apply(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        input.gelu_erf()
    }

    fn slope(&self, input: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        let below = (input * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
        let density = ((input.sqr()? * -0.5)?.exp()? * (1.0 / (2.0 * PI).sqrt()))?;
        below + (input * density)?
    }

    fn loops(&self) -> Arc<dyn Kernel> {
        Arc::new(Everywhere(kernels::Gelu))
    }

    fn number(&self, x: f64) -> f64 {
        x * share_below(x)
    }
}

/// Beyond this distance from 0 the continued fraction converges faster than the series.
const TAIL: f64 = 3.0;

/// The share of the standard normal distribution that lies below `x`, to 1e-15: (1 + erf(x / √2)) / 2.
///
/// Near 0 by the series ½ + φ(x) (x + x³/3 + x⁵/(3·5) + …), whose terms all have one sign, in the tails by the continued
/// fraction φ(x) / (x + 1/(x + 2/(x + …))) (Abramowitz and Stegun 1964, 26.2.11 and 26.2.14). Both are taken so far that
/// more would change nothing at the border between them, where each is at its slowest.
fn share_below(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    if x.abs() < TAIL {
        let (mut term, mut sum) = (x, 0.0);
        for index in 0..48 {
            sum += term;
            term *= x * x / f64::from(2 * index + 3);
        }
        return 0.5 + density * sum;
    }
    let beyond = density / (1..=64).rev().fold(x.abs(), |inner, index| x.abs() + f64::from(index) / inner);
    if x > 0.0 { 1.0 - beyond } else { beyond }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), seed: u64) {
            Trial::training(Gelu, &[shape], rows, seed).check();
        }
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        // Computed by mpmath with 30 digits and rounded, whose `ncdf` is another algorithm.
        let table = [
            (-9.0, 1.1285884059538406e-19),
            (-5.5, 1.898956246588772e-8),
            (-3.0, 0.0013498980316300946),
            (-2.75, 0.002979763235054557),
            (-1.0, 0.15865525393145705),
            (-0.125, 0.4502617751698871),
            (0.0, 0.5),
            (0.5, 0.6914624612740131),
            (1.0, 0.8413447460685429),
            (2.999, 0.9986456634662729),
            (3.0, 0.9986501019683699),
            (3.001, 0.998654527174915),
            (4.25, 0.9999893114742251),
            (7.0, 0.9999999999987202),
        ];
        for (x, expected) in table {
            let found = share_below(x);
            assert!((found - expected).abs() <= 3e-16 && (found / expected - 1.0).abs() <= 1e-13, "{x}: {found}");
        }
    }

    #[test]
    fn the_normal_distribution_is_that_of_candles_error_function() {
        for x in (-1280..=1280).map(|step| f64::from(step) / 128.0) {
            let theirs = (1.0 + candle_core::cpu::erf::erf_f64(x * FRAC_1_SQRT_2)) / 2.0;
            assert!((share_below(x) - theirs).abs() <= 1e-15, "{x}: {} and {theirs}", share_below(x));
        }
    }

    #[test]
    fn the_normal_distribution_is_whole_far_away() {
        assert_eq!((share_below(1e4), share_below(-1e4)), (1.0, 0.0));
        assert!(share_below(f64::NAN).is_nan());
    }
}
