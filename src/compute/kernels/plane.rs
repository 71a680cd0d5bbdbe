//! Values between the two orders of their axes: tensors have the channels first, kernels last.
//!
//! A row of one channel or of one position is the same in both. For whoever hands batches to kernels and takes them back,
//! and for the kernels whose meaning hangs on the order.

use super::crew::{Crew, Shared};
use super::kernel::Place;
use crate::compute::vectors::{Extent, transpose};

/// Rows `[channels, height, width]` written as rows `[height, width, channels]` of `place`.
pub fn channels_last(from: &[f32], place: Place, to: &mut [f32], crew: &Crew) {
    turned(from, (place.channels, place.positions()), to, crew);
}

/// Rows `[height, width, channels]` of `place` written as rows `[channels, height, width]`.
pub fn channels_first(from: &[f32], place: Place, to: &mut [f32], crew: &Crew) {
    turned(from, (place.positions(), place.channels), to, crew);
}

/// Every matrix `[tall, wide]` of a batch of them, turned.
fn turned(from: &[f32], (tall, wide): (usize, usize), to: &mut [f32], crew: &Crew) {
    if tall == 1 || wide == 1 {
        return to.copy_from_slice(from);
    }
    let (numbers, operations) = (tall * wide, 50 * from.len());
    let to = Shared::new(to);
    crew.each(from.len() / numbers, operations, |row| {
        let range = row * numbers..(row + 1) * numbers;
        // SAFETY: every row is turned once, and rows do not overlap.
        let to = unsafe { to.part(range.clone()) };
        let extent = Extent { rows: tall, columns: wide, pitch: wide, turned_pitch: tall };
        transpose(&from[range], to, extent);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_finds_its_place_and_the_way_back(
            (height, width, channels) in (1usize..20, 1usize..9, 1usize..40),
            rows in 1usize..4,
        ) {
            let place = Place { height, width, channels };
            let first: Vec<f32> = (0..rows * place.numbers()).map(|number| number as f32).collect();
            let (mut last, mut back) = (vec![f32::NAN; first.len()], vec![f32::NAN; first.len()]);
            channels_last(&first, place, &mut last, &Crew::alone());
            let positions = place.positions();
            for (at, &number) in last.iter().enumerate() {
                let (row, position, channel) = (at / place.numbers(), at / channels % positions, at % channels);
                prop_assert_eq!(number, first[(row * channels + channel) * positions + position]);
            }
            channels_first(&last, place, &mut back, &Crew::alone());
            prop_assert_eq!(back, first);
        }
    }
}
