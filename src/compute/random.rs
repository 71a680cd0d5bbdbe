//! Randomness without state: a generator keyed by (seed, purpose, step, node).
//!
//! Whatever is drawn depends on its key alone, never on what was drawn before elsewhere, so there is no random state to
//! save and a learner's life can be replayed. The numbers are a stored format: every conversion from bits is our own and
//! uses only operations that IEEE 754 rounds exactly, so they are the same bits on every machine and for ever.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What a stream of random numbers is for; two purposes never share one. The numbers are part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// New parameters.
    Initialize = 1,
    /// Dropout masks.
    Dropout = 2,
    /// Which old rows are replayed.
    Replay = 3,
    /// The order of a pass over history.
    Pass = 4,
    /// Which unit is copied in a wider growth, and by what shares.
    Shares = 5,
    /// Random rows for a certificate.
    Probe = 6,
    /// Which rows are held out.
    Holdout = 7,
    /// The rows that a demonstration keeps back.
    Demonstration = 8,
}

/// A stream of random numbers for one key (ChaCha8).
pub struct Random {
    generator: ChaCha8Rng,
    /// The second number of the last pair of normals, if it has not been given out.
    spare: Option<f64>,
}

impl Random {
    /// The stream of this key: ChaCha8 under the SHA-256 of the key's parts.
    pub fn keyed(seed: u64, purpose: Purpose, step: u64, node: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"perennial random 1");
        hash.update(seed.to_le_bytes());
        hash.update((purpose as u32).to_le_bytes());
        hash.update(step.to_le_bytes());
        hash.update(node.as_bytes());
        Self { generator: ChaCha8Rng::from_seed(hash.finalize().into()), spare: None }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.bits() >> 11) as f64 * STEP
    }

    /// Uniform in 0..bound, without bias (Lemire 2019). `bound` is above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a random number below 0 was asked for");
        let bound = bound as u64;
        // Of the 2^64 numbers, 2^64 mod bound are too many to be shared out evenly: those are drawn again.
        let surplus = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= surplus {
                return (product >> 64) as usize;
            }
        }
    }

    /// Standard normal (the polar method of Marsaglia and Bray 1964).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * logarithm(square) / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// A random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Random numbers by index: any of them at once, in any order, on any thread. For numbers by the million, where no one
/// depends on the one before.
#[derive(Debug, Clone, Copy)]
pub struct Indexed {
    key: u32,
}

impl Indexed {
    /// The numbers of this key.
    pub fn keyed(seed: u64, purpose: Purpose, step: u64, node: &str) -> Self {
        Self { key: Random::keyed(seed, purpose, step, node).bits() as u32 }
    }

    /// What the numbers of [`Indexed::of_key`] are drawn by.
    pub fn key(&self) -> u32 {
        self.key
    }

    /// The numbers drawn by this key again.
    pub fn of_key(key: u32) -> Self {
        Self { key }
    }

    /// Number `index`: uniform in [0, 1), 24 bits. The finaliser of MurmurHash3 (Appleby 2011) over the key and a Weyl
    /// sequence: good enough for shares and cheap enough for every weight of a network.
    #[inline(always)]
    pub fn uniform(&self, index: u32) -> f32 {
        const STEP: f32 = 1.0 / (1u32 << 24) as f32;
        let mut bits = index.wrapping_mul(0x9e37_79b9).wrapping_add(self.key);
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
        bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
        // A signed conversion is one instruction for many numbers at a time; 24 bits are never negative.
        ((bits ^ (bits >> 16)) >> 8) as i32 as f32 * STEP
    }
}

/// The natural logarithm of a positive normal number, from sums, products and quotients alone: the system's own differs
/// in its last bit from machine to machine.
fn logarithm(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & FRACTION) | 1.0f64.to_bits());
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), whose series converges below 2^-55 within eleven terms for m in [√½, √2].
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..11).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    2.0 * ratio * series + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Random {
        Random::keyed(1, Purpose::Initialize, 0, "hidden1/weight")
    }

    // The expected numbers come from an independent implementation of SHA-256, ChaCha8 and the conversions.
    #[test]
    fn the_numbers_are_those_of_the_stored_format() {
        let mut random = stream();
        let bits = [random.bits(), random.bits(), random.bits()];
        assert_eq!(bits, [0xec49_a9a5_dd77_9eb3, 0xe7d5_a003_dafb_a4ec, 0x5157_3d67_8f34_1fb6]);
        let mut random = stream();
        let uniforms = [random.uniform(), random.uniform()].map(f64::to_bits);
        assert_eq!(uniforms, [0x3fed_8935_34bb_aef3, 0x3fec_fab4_007b_5f74]);
        let mut random = stream();
        let normals = [random.normal(), random.normal(), random.normal()].map(f64::to_bits);
        assert_eq!(normals, [0xbfdb_e844_8461_ffa3, 0xbfeb_1f56_73cd_bb6d, 0xbfdc_f643_5b18_c12c]);
        let mut random = stream();
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        random.shuffle(&mut order);
        assert_eq!(order, [6, 3, 5, 4, 0, 7, 1, 2, 8, 9]);
    }

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let mut streams = [
            stream(),
            Random::keyed(2, Purpose::Initialize, 0, "hidden1/weight"),
            Random::keyed(1, Purpose::Dropout, 0, "hidden1/weight"),
            Random::keyed(1, Purpose::Initialize, 1, "hidden1/weight"),
            Random::keyed(1, Purpose::Initialize, 0, "hidden1/bias"),
        ];
        let mut first: Vec<u64> = streams.iter_mut().map(Random::bits).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), streams.len());
        assert_eq!(stream().bits(), stream().bits());
    }

    #[test]
    fn below_reaches_every_number_equally_often_and_no_other() {
        let mut random = stream();
        let mut counts = [0usize; 7];
        (0..70_000).for_each(|_| counts[random.below(7)] += 1);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert_eq!(random.below(1), 0);
        assert!((0..100).all(|_| random.below(usize::MAX) < usize::MAX));
    }

    #[test]
    fn normals_have_mean_0_variance_1_and_the_right_tails() {
        let mut random = stream();
        let draws: Vec<f64> = (0..200_000).map(|_| random.normal()).collect();
        let count = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / count;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / count - mean * mean;
        let beyond_two = draws.iter().filter(|x| x.abs() > 2.0).count() as f64 / count;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((beyond_two - 0.0455).abs() < 0.003, "{beyond_two}");
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_every_position_is_reached() {
        let mut random = stream();
        let mut firsts = [0usize; 5];
        for _ in 0..5_000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            firsts[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(firsts.iter().all(|count| count.abs_diff(1_000) < 150), "{firsts:?}");
        random.shuffle::<u8>(&mut []);
    }

    #[test]
    fn the_logarithm_agrees_with_the_systems() {
        let mut random = stream();
        for _ in 0..10_000 {
            let x = random.uniform().max(f64::MIN_POSITIVE);
            let (ours, theirs) = (logarithm(x), x.ln());
            assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs(), "{x}: {ours} {theirs}");
        }
        assert_eq!(logarithm(1.0), 0.0);
        assert!((logarithm(1e-300) - 1e-300f64.ln()).abs() < 1e-12);
    }
}
