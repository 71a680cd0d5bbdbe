//! The UCI 8x8 handwritten digits, as the crate `smartcore` ships them: 1,797 rows, pixels from 0 to 16.

use anyhow::ensure;
use serde_json::{Value, json};
use smartcore::dataset::digits::load_dataset;

use crate::compute::random::{Purpose, Random};

/// The seed of the shuffle: which rows are kept back never changes.
const SEED: u64 = 20_151_118;

/// Rows that are kept back and never posted.
const KEPT_BACK: usize = 360;

/// One digit.
#[derive(Debug, Clone, PartialEq)]
pub struct Digit {
    /// 64 pixels, row by row, from 0 to 16.
    pub pixels: Vec<u8>,
    /// 0 to 9.
    pub label: u8,
}

impl Digit {
    /// The inputs of an example.
    pub fn inputs(&self) -> Value {
        json!({ "pixels": self.pixels })
    }
}

/// The rows to stream, in order, and the rows kept back.
#[derive(Debug)]
pub struct Digits {
    /// To be posted.
    pub stream: Vec<Digit>,
    /// Never posted.
    pub kept_back: Vec<Digit>,
}

/// Loads and shuffles the rows: the same for every run.
pub fn load() -> anyhow::Result<Digits> {
    let dataset = load_dataset();
    ensure!(dataset.num_features == 64 && dataset.num_samples > KEPT_BACK, "the digits are not as they should be");
    let labels = dataset.target.iter().map(|&label| label as u8);
    let rows = dataset.data.chunks_exact(64).zip(labels);
    let mut rows: Vec<Digit> = rows
        .map(|(pixels, label)| Digit { pixels: pixels.iter().map(|&pixel| pixel as u8).collect(), label })
        .collect();
    Random::keyed(SEED, Purpose::Demonstration, 0, "digits").shuffle(&mut rows);
    let stream = rows.split_off(KEPT_BACK);
    Ok(Digits { stream, kept_back: rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_kept_back_are_of_all_digits_and_not_in_the_stream() {
        let digits = load().expect("loaded");
        assert_eq!((digits.stream.len(), digits.kept_back.len()), (1_437, 360));
        for label in 0..10 {
            assert!(digits.kept_back.iter().filter(|digit| digit.label == label).count() > 15);
        }
        assert!(digits.stream.iter().flat_map(|digit| &digit.pixels).all(|&pixel| pixel <= 16));
        assert_eq!(digits.stream, load().expect("loaded").stream);
    }
}
