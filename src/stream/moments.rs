//! Running mean and variance of a stream of numbers (Welford 1962), in f64.
//!
//! Updates in the same order give the same bits. Used by the encoder and the targets.

use serde::{Deserialize, Serialize};

/// Count, mean and sum of squared deviations of the numbers seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moments {
    pub count: u64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    /// Takes a finite number in.
    pub fn observe(&mut self, number: f64) {
        self.count += 1;
        welford(self.count, number, &mut self.mean, &mut self.m2);
    }

    /// See [`spread`].
    pub fn spread(&self) -> Spread {
        spread(self.count, self.mean, self.m2)
    }

    /// Whether statistics of this kind can have come from finite numbers.
    pub fn is_sound(&self) -> bool {
        sound(self.mean, self.m2)
    }
}

/// How far numbers lie around their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spread {
    /// None was seen.
    Unknown,
    /// They are all the same, as far as f64 can tell.
    Constant,
    /// The standard deviation (of the population), above 0.
    Deviation(f64),
}

/// One step of Welford's update; `count` includes `number`.
pub(super) fn welford(count: u64, number: f64, mean: &mut f64, m2: &mut f64) {
    let before = number - *mean;
    *mean += before / count as f64;
    *m2 += before * (number - *mean);
}

/// The spread behind statistics. A deviation below a millionth of a millionth of the mean is what rounding leaves of
/// equal numbers, and dividing by it would make noise of it.
pub(super) fn spread(count: u64, mean: f64, m2: f64) -> Spread {
    if count == 0 {
        return Spread::Unknown;
    }
    let deviation = (m2 / count as f64).sqrt();
    if deviation > 1e-12 * mean.abs() { Spread::Deviation(deviation) } else { Spread::Constant }
}

/// Whether mean and sum of squares can have come from finite numbers.
pub(super) fn sound(mean: f64, m2: f64) -> bool {
    mean.is_finite() && m2.is_finite() && m2 >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Moments {
        let mut moments = Moments::default();
        numbers.iter().for_each(|&number| moments.observe(number));
        moments
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_numbers() {
        let moments = of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert!((moments.mean - 5.0).abs() < 1e-12);
        let Spread::Deviation(deviation) = moments.spread() else { panic!("the numbers vary") };
        assert!((deviation - 2.0).abs() < 1e-12);
    }

    #[test]
    fn equal_numbers_are_constant_however_many_and_large() {
        for number in [0.0, 0.1, -1e9, 3.4e38] {
            assert_eq!(of(&vec![number; 10_000]).spread(), Spread::Constant, "{number}");
        }
        assert_eq!(of(&[]).spread(), Spread::Unknown);
    }

    #[test]
    fn a_small_variation_of_a_large_number_is_seen() {
        let day = 1.7e12;
        let Spread::Deviation(deviation) = of(&[day, day + 1000.0]).spread() else { panic!("the numbers vary") };
        assert!((deviation - 500.0).abs() < 1e-3);
    }

    #[test]
    fn the_largest_numbers_of_f32_stay_finite() {
        let largest = f64::from(f32::MAX);
        let moments = of(&[largest, -largest].repeat(1000));
        assert!(moments.is_sound());
        assert!(matches!(moments.spread(), Spread::Deviation(deviation) if deviation.is_finite()));
    }
}
