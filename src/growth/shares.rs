//! How the copies of a unit share its outgoing weights, so that their sum is what the one weight was.
//!
//! Shares are drawn for every weight by itself. The split weights are rounded to multiples of the unit in the last place
//! of the whole, so that f32 holds each exactly and, but for asked-for noise, their sum *is* the whole: nothing is lost
//! however often a network grows.

use crate::compute::random::Random;

use super::mapping::AxisMap;
use super::request::Split;
use super::transfer::Values;

/// Splits gathered weights along an axis of copies, in place.
///
/// `replicate`: each of r copies gets a random share, drawn from 0.5..1.5 and divided by their sum, the last copy what
/// is left; two copies get between a quarter and three quarters each. `paper`: r equal shares, and on all copies but
/// the first normal noise whose standard deviation is `noise` times that of the parameter. `fresh` has no copies.
pub(super) fn split(weights: &mut Values, map: &AxisMap, split: Split, random: &mut Random) {
    let (outer, inner) = weights.around(map.axis);
    let length = map.sources.len();
    let noise = match split {
        Split::Paper { noise } if noise > 0.0 => noise * deviation(&weights.numbers),
        _ => 0.0,
    };
    let mut parts = Vec::new();
    for run in 0..outer {
        for family in &map.families {
            for within in 0..inner {
                let at = |index: usize| (run * length + index) * inner + within;
                let whole = weights.numbers[at(family[0])];
                parts.clear();
                match split {
                    Split::Replicate => unequal(whole, family.len(), random, &mut parts),
                    Split::Paper { .. } | Split::Fresh => equal(whole, family.len(), &mut parts),
                }
                for (copy, (&index, &part)) in family.iter().zip(&parts).enumerate() {
                    let off = if copy > 0 && noise > 0.0 { noise * random.normal() } else { 0.0 };
                    weights.numbers[at(index)] = (f64::from(part) + off) as f32;
                }
            }
        }
    }
}

fn unequal(whole: f32, copies: usize, random: &mut Random, parts: &mut Vec<f32>) {
    let drawn: Vec<f64> = (0..copies).map(|_| 0.5 + random.uniform()).collect();
    let sum: f64 = drawn.iter().sum();
    exactly(whole, drawn[..copies - 1].iter().map(|share| share / sum), parts);
}

fn equal(whole: f32, copies: usize, parts: &mut Vec<f32>) {
    let part = (f64::from(whole) / copies as f64) as f32;
    if f64::from(part) * copies as f64 == f64::from(whole) {
        parts.resize(copies, part);
    } else {
        exactly(whole, (1..copies).map(|_| 1.0 / copies as f64), parts);
    }
}

/// Parts in these shares and a last one that takes the remainder: their sum is `whole` without any rounding, because
/// all are multiples of its unit in the last place and none is larger.
fn exactly(whole: f32, shares: impl Iterator<Item = f64>, parts: &mut Vec<f32>) {
    let unit = unit_in_last_place(whole);
    let mut rest = f64::from(whole);
    for share in shares {
        let part = (f64::from(whole) * share / unit).round() * unit;
        rest -= part;
        parts.push(part as f32);
    }
    parts.push(rest as f32);
}

fn unit_in_last_place(number: f32) -> f64 {
    const MANTISSA_BITS: i32 = 23;
    let power = f32::from_bits(number.to_bits() & 0x7f80_0000);
    f64::from(power.max(f32::MIN_POSITIVE)) * 0.5f64.powi(MANTISSA_BITS)
}

/// The standard deviation of all numbers.
fn deviation(numbers: &[f32]) -> f64 {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().map(|&number| f64::from(number)).sum::<f64>() / count;
    let squares = numbers.iter().map(|&number| (f64::from(number) - mean).powi(2)).sum::<f64>();
    (squares / count).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compute::random::Purpose;

    fn random() -> Random {
        Random::keyed(1, Purpose::Shares, 0, "test")
    }

    fn families(copies: usize) -> AxisMap {
        let sources = vec![Some(0); copies];
        AxisMap { axis: 0, old: 1, sources, families: vec![(0..copies).collect()] }
    }

    proptest! {
        #[test]
        fn the_copies_of_any_weight_sum_to_it_exactly(bits in any::<u32>(), copies in 2usize..9, even in any::<bool>()) {
            let whole = f32::from_bits(bits);
            prop_assume!(whole.is_finite());
            let kind = if even { Split::Paper { noise: 0.0 } } else { Split::Replicate };
            let mut weights = Values { dims: vec![copies, 1], numbers: vec![whole; copies] };
            split(&mut weights, &families(copies), kind, &mut random());
            let sum: f64 = weights.numbers.iter().map(|&part| f64::from(part)).sum();
            prop_assert_eq!(sum, f64::from(whole));
            prop_assert!(weights.numbers.iter().all(|part| part.abs() <= whole.abs()));
        }
    }

    #[test]
    fn replicated_copies_share_unequally_and_no_share_is_extreme() {
        let mut weights = Values { dims: vec![2, 500], numbers: vec![1.0; 1000] };
        split(&mut weights, &families(2), Split::Replicate, &mut random());
        let (first, second) = weights.numbers.split_at(500);
        assert!(weights.numbers.iter().all(|share| (0.25..=0.75).contains(share)));
        assert!(first.iter().zip(second).filter(|(one, other)| one == other).count() < 5);
        assert!(first.windows(2).any(|two| two[0] != two[1]), "one share for all weights of a unit");
    }

    #[test]
    fn noise_leaves_the_first_copy_alone() {
        let numbers: Vec<f32> = (0..600).map(|index| (index % 200) as f32 / 100.0 - 1.0).collect();
        let mut weights = Values { dims: vec![3, 200], numbers };
        let plain = {
            let mut plain = weights.clone();
            split(&mut plain, &families(3), Split::Paper { noise: 0.0 }, &mut random());
            plain
        };
        split(&mut weights, &families(3), Split::Paper { noise: 0.1 }, &mut random());
        assert_eq!(weights.numbers[..200], plain.numbers[..200]);
        let off: Vec<f32> = weights.numbers.iter().zip(&plain.numbers).skip(200).map(|(a, b)| a - b).collect();
        let expected = 0.1 * deviation(&(0..200).map(|index| index as f32 / 100.0 - 1.0).collect::<Vec<_>>());
        assert!((deviation(&off) / expected - 1.0).abs() < 0.1);
    }
}
