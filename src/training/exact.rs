//! A floating-point number that is stored by its bits, so that a checkpoint reads back exactly what was written.
//!
//! JSON's decimal digits do not promise that. Used by the parts of training that go into a checkpoint's progress.

use serde::{Deserialize, Serialize};

/// An `f64` whose stored form is its bits as a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Exact(pub f64);

impl From<u64> for Exact {
    fn from(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

impl From<Exact> for u64 {
    fn from(number: Exact) -> Self {
        number.0.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_bit_for_bit() {
        for number in [0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, -0.0, 1e300, 5e-324] {
            let text = serde_json::to_string(&Exact(number)).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let back: Exact = serde_json::from_value(value).unwrap();
            assert_eq!(back.0.to_bits(), number.to_bits());
        }
    }
}
