//! The size of a gradient: whether it may enter a step at all, and by what it is clipped.
//!
//! Invariant: sums run in a fixed order whatever the vectors and threads, so a step gives the same bits with any number of
//! them. Called before [`super::Constants::step`], which trusts its numbers.

use crate::compute::vectors::{Loop, widest};

/// Larger gradients have a square that f32 cannot hold: a second moment would be infinite and its weight frozen for ever.
pub const LARGEST_GRADIENT: f32 = 1e18;

/// Sums that run beside each other, one a lane of two of the widest vectors.
const LANES: usize = 16;
/// Numbers of a partial sum. Each is rounded on its own, so the sum of many numbers loses little.
const PARTIAL: usize = 1 << 12;

/// The sum of the squares of a gradient, or of a piece of one; infinite if any number of it is none or larger than
/// [`LARGEST_GRADIENT`], which is the sign that the step must not be done. What is cut into pieces for threads is cut into
/// pieces of a fixed size, whose sums are added in order: they carry the sign along.
pub fn norm_and_check(gradient: &[f32]) -> f64 {
    let sum: f64 = gradient.chunks(PARTIAL).map(|part| widest(Squares(part))).sum();
    let largest = f64::from(LARGEST_GRADIENT);
    // One that is too large makes the sum too large, and one that is no number makes it none: only then it is worth a look
    // at each.
    if sum <= largest * largest || gradient.iter().all(|number| number.abs() <= LARGEST_GRADIENT) {
        return sum;
    }
    f64::INFINITY
}

/// By what gradients whose squares sum to `squares` are multiplied so that all of them together are no longer than `norm`
/// (Pascanu, Mikolov and Bengio 2013, §3.2); 1 where they are not, and without a norm.
pub fn clip_factor(squares: f64, norm: Option<f64>) -> f32 {
    match norm {
        Some(norm) if squares > norm * norm => ((norm / squares.sqrt()) as f32).max(f32::MIN_POSITIVE),
        _ => 1.0,
    }
}

struct Squares<'a>(&'a [f32]);

impl Loop for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, number) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*number) * f64::from(*number);
            }
        }
        for (lane, number) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(*number) * f64::from(*number);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_sum_of_squares_is_that_of_a_slow_loop(
            numbers in prop::collection::vec(-1e6f32..1e6, 0..9_000),
        ) {
            let slow: f64 = numbers.iter().map(|&number| f64::from(number) * f64::from(number)).sum();
            prop_assert!((norm_and_check(&numbers) - slow).abs() <= 1e-12 * slow);
        }

        #[test]
        fn what_is_no_usable_number_is_found_wherever_it_stands(
            length in 1usize..9_000,
            place: prop::sample::Index,
            bad in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1e18, -f32::MAX]),
        ) {
            let mut numbers = vec![0.5; length];
            numbers[place.index(length)] = bad;
            prop_assert_eq!(norm_and_check(&numbers), f64::INFINITY);
        }

        #[test]
        fn clipped_gradients_are_as_long_as_the_norm_and_shorter_ones_stay(
            numbers in prop::collection::vec(-1e3f32..1e3, 1..50),
            norm in 0.01f64..1e4,
        ) {
            let squares = norm_and_check(&numbers);
            let factor = clip_factor(squares, Some(norm));
            if squares.sqrt() <= norm {
                prop_assert_eq!(factor, 1.0);
            } else {
                let length = squares.sqrt() * f64::from(factor);
                prop_assert!((length - norm).abs() <= 1e-6 * norm, "{} for {}", length, norm);
            }
        }
    }

    #[test]
    fn gradients_at_the_limit_are_taken_however_many_there_are() {
        let many = vec![LARGEST_GRADIENT; 100];
        let squares = norm_and_check(&many);
        assert!((squares - 1e38).abs() < 1e32, "{squares}");
        assert!(clip_factor(squares, Some(1e-25)) > 0.0);
    }

    #[test]
    fn without_a_norm_nothing_is_clipped() {
        assert_eq!(clip_factor(1e30, None), 1.0);
    }

    #[test]
    fn wide_vectors_add_in_the_order_of_narrow_ones() {
        let numbers: Vec<f32> = (0..1_003).map(|number| (number as f32).sin() * 1e3).collect();
        assert_eq!(widest(Squares(&numbers)).to_bits(), Squares(&numbers).run().to_bits());
    }
}
