//! How the copies of a unit share its outgoing weights, so that their sum is what the one weight was.
//!
//! Shares are drawn for every weight by itself. The split weights are rounded to multiples of the unit in the last place
//! of the whole, so that f32 holds each exactly and, but for asked-for noise, their sum *is* the whole: nothing is lost
//! however often a network grows.

use crate::compute::random::{Indexed, Purpose, Random};
use crate::compute::vectors::{Loop, widest};

use super::mapping::Stretch;
use super::request::Split;

/// How one parameter's columns are shared: a function of the seed, the parameter's name and the place of each weight.
#[derive(Debug)]
pub(super) struct Sharing {
    stretches: Vec<Stretch>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// Unequal random shares.
    Random(Indexed),
    /// Equal ones, with normal noise of this deviation on all copies but the first.
    Equal { noise: f64, seed: u64, name: String },
}

impl Sharing {
    /// `copies` are the places of numbers in a run that share. `replicate`: of two copies the first gets a random share, uniform in a quarter to three quarters; each of more gets
    /// one drawn from 0.5..1.5 and divided by their sum. The last copy takes what is left. `paper`: r equal shares, and on all copies but
    /// the first normal noise whose standard deviation is `noise` times that of the parameter. The others have no copies.
    pub fn new(split: Split, copies: Vec<Stretch>, (seed, name): (u64, &str), old: &[f32]) -> Option<Self> {
        if copies.is_empty() {
            return None;
        }
        let rule = match split {
            Split::Replicate => Rule::Random(Indexed::keyed(seed, Purpose::Shares, 0, name)),
            Split::Paper { noise } => {
                let noise = if noise > 0.0 { noise * deviation(old) } else { 0.0 };
                Rule::Equal { noise, seed, name: name.to_owned() }
            }
            Split::Fresh | Split::RandomPad => return None,
        };
        Some(Self { stretches: copies, rule })
    }

    /// Splits gathered weights along the axis of copies, in place: `numbers` are runs along it of `line` numbers each, and
    /// begin at `start` in the parameter.
    pub fn split(&self, numbers: &mut [f32], line: usize, start: usize) {
        match &self.rule {
            Rule::Random(random) => {
                widest(Unequal { stretches: &self.stretches, numbers, line, start, random: *random });
            }
            Rule::Equal { noise, seed, name } => {
                for (run, numbers) in numbers.chunks_exact_mut(line).enumerate() {
                    self.stretches.iter().for_each(|stretch| equal(numbers, stretch));
                    if *noise > 0.0 {
                        let mut random = Random::keyed(*seed, Purpose::Shares, (start + run * line) as u64, name);
                        self.stretches.iter().for_each(|stretch| disturb(numbers, stretch, *noise, &mut random));
                    }
                }
            }
        }
    }
}

fn disturb(numbers: &mut [f32], copies: &Stretch, noise: f64, random: &mut Random) {
    for index in copies.first[1..].iter().flat_map(|&first| first..first + copies.length) {
        numbers[index] = (f64::from(numbers[index]) + noise * random.normal()) as f32;
    }
}

/// `replicate` over whole runs.
struct Unequal<'a> {
    stretches: &'a [Stretch],
    numbers: &'a mut [f32],
    line: usize,
    start: usize,
    random: Indexed,
}

impl Loop for Unequal<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (run, numbers) in self.numbers.chunks_exact_mut(self.line).enumerate() {
            let start = (self.start + run * self.line) as u32;
            for stretch in self.stretches {
                match stretch.first[..] {
                    [first, second] => {
                        // By far the most frequent case, as two slices that are taken many numbers at a time.
                        let (before, behind) = numbers.split_at_mut(second);
                        let count = stretch.length;
                        let ones = &mut before[first..first + count];
                        pairs(ones, &mut behind[..count], start.wrapping_add(first as u32), self.random);
                    }
                    _ => families(numbers, stretch, start, self.random),
                }
            }
        }
    }
}

/// Numbers between two copies each; `start` is the place of the first in the parameter.
#[inline(always)]
fn pairs(ones: &mut [f32], others: &mut [f32], start: u32, random: Indexed) {
    for (index, (one, other)) in (0u32..).zip(ones.iter_mut().zip(others)) {
        let share = 0.25 + 0.5 * random.uniform(start.wrapping_add(index));
        let whole = *one;
        *one = multiple(whole, share);
        *other = whole - *one;
    }
}

/// Numbers among three copies and more.
fn families(numbers: &mut [f32], copies: &Stretch, start: u32, random: Indexed) {
    let drawn = |place: usize| 0.5 + random.uniform(start.wrapping_add(place as u32));
    let (last, others) = copies.first.split_last().expect("a family has members");
    for index in 0..copies.length {
        let whole = numbers[last + index];
        let sum: f32 = copies.first.iter().map(|first| drawn(first + index)).sum();
        let mut rest = whole;
        for place in others.iter().map(|first| first + index) {
            let part = multiple(whole, drawn(place) / sum);
            numbers[place] = part;
            rest -= part;
        }
        numbers[last + index] = rest;
    }
}

fn equal(numbers: &mut [f32], copies: &Stretch) {
    let count = copies.first.len() as f32;
    let (last, others) = copies.first.split_last().expect("a family has members");
    for index in 0..copies.length {
        let whole = numbers[last + index];
        let part = whole / count;
        if f64::from(part) * f64::from(count) == f64::from(whole) {
            copies.first.iter().for_each(|first| numbers[first + index] = part);
            continue;
        }
        let (part, mut rest) = (multiple(whole, 1.0 / count), whole);
        for first in others {
            numbers[first + index] = part;
            rest -= part;
        }
        numbers[last + index] = rest;
    }
}

/// The share of a number, rounded to a multiple of the number's unit in the last place: it and what is left are held
/// exactly, and so is every sum and difference of such multiples that is not larger than the number.
///
/// With P the power of two at or below |whole|, a sum of P and something smaller than 3/2 P is rounded to such a multiple.
#[inline(always)]
fn multiple(whole: f32, share: f32) -> f32 {
    const SIGN_AND_EXPONENT: u32 = 0xff80_0000;
    // Above this the sum could overflow: the last copy keeps such a number whole.
    const LARGE: f32 = 8.507_059e37;
    let power = f32::from_bits(whole.to_bits() & SIGN_AND_EXPONENT);
    let rounded = (whole * share + power) - power;
    if whole.abs() < LARGE { rounded } else { 0.0 }
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

    fn split(numbers: &mut [f32], copies: usize, kind: Split, whole: &[f32]) {
        let (line, length) = (numbers.len(), numbers.len() / copies);
        let places = Stretch { first: (0..copies).map(|copy| copy * length).collect(), length };
        Sharing::new(kind, vec![places], (1, "test"), whole).unwrap().split(numbers, line, 0);
    }

    proptest! {
        #[test]
        fn the_copies_of_any_weight_sum_to_it_exactly(bits in any::<u32>(), copies in 2usize..9, even in any::<bool>()) {
            let whole = f32::from_bits(bits);
            prop_assume!(whole.is_finite());
            let kind = if even { Split::Paper { noise: 0.0 } } else { Split::Replicate };
            let mut weights = vec![whole; copies];
            split(&mut weights, copies, kind, &[whole]);
            let sum: f64 = weights.iter().map(|&part| f64::from(part)).sum();
            prop_assert_eq!(sum, f64::from(whole));
            prop_assert!(weights.iter().all(|part| part.abs() <= whole.abs()));
        }
    }

    #[test]
    fn replicated_copies_share_unequally_and_no_share_is_extreme() {
        let mut weights = vec![1.0; 1000];
        split(&mut weights, 2, Split::Replicate, &[1.0]);
        let (first, second) = weights.split_at(500);
        assert!(weights.iter().all(|share| (0.25..=0.75).contains(share)));
        assert!(first.iter().zip(second).filter(|(one, other)| one == other).count() < 5);
        assert!(first.windows(2).any(|two| two[0] != two[1]), "one share for all weights of a unit");
        let mean = first.iter().sum::<f32>() / 500.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }

    #[test]
    fn copies_of_three_share_as_two_do() {
        let mut weights = vec![1.0; 900];
        split(&mut weights, 3, Split::Replicate, &[1.0]);
        assert!(weights.iter().all(|share| (0.14..=0.61).contains(share)));
        let distinct: std::collections::BTreeSet<u32> = weights.iter().map(|share| share.to_bits()).collect();
        assert!(distinct.len() > 880);
    }

    #[test]
    fn noise_leaves_the_first_copy_alone() {
        let numbers: Vec<f32> = (0..600).map(|index| (index % 200) as f32 / 100.0 - 1.0).collect();
        let mut plain = numbers.clone();
        split(&mut plain, 3, Split::Paper { noise: 0.0 }, &numbers);
        let mut weights = numbers.clone();
        split(&mut weights, 3, Split::Paper { noise: 0.1 }, &numbers);
        assert_eq!(weights[..200], plain[..200]);
        let off: Vec<f32> = weights.iter().zip(&plain).skip(200).map(|(a, b)| a - b).collect();
        assert!((deviation(&off) / (0.1 * deviation(&numbers)) - 1.0).abs() < 0.1);
    }
}
