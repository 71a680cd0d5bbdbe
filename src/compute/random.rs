//! Randomness without state: a generator keyed by (seed, purpose, step, node).
//!
//! Whatever is drawn depends on its key alone, never on what was drawn before elsewhere, so there is no random state to
//! save and a learner's life can be replayed.

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
pub struct Random {}

impl Random {
    /// The stream of this key.
    pub fn keyed(seed: u64, purpose: Purpose, step: u64, node: &str) -> Self {
        let _ = (seed, purpose, step, node);
        unimplemented!("helper A1")
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        unimplemented!("helper A1")
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        unimplemented!("helper A1")
    }

    /// Uniform in 0..bound, without bias. `bound` is above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let _ = bound;
        unimplemented!("helper A1")
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        unimplemented!("helper A1")
    }

    /// A random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let _ = items;
        unimplemented!("helper A1")
    }
}
