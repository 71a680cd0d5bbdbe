//! Loops over many numbers, compiled for the widest vectors that the processor turns out to have.
//!
//! A build is for any processor of its kind, whose vectors are narrow; the code of a loop is compiled for each width and
//! chosen as it runs. A [`Loop`] is plain code that the compiler makes vectors of: the same to the bit by any of them,
//! because nothing is contracted or reordered. A [`Simd`] loop names its vectors itself, multiplies and adds in one
//! rounding where the processor can, and may differ in the last bit from width to width.

use std::sync::OnceLock;

mod simd;
mod transpose;

pub use simd::{Simd, SimdLoop};
pub use transpose::{Extent, transpose};

/// The vector instructions that a loop runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vectors {
    /// 16 numbers at a time.
    Avx512,
    /// 8 numbers at a time.
    Avx2,
    /// What every processor of the build's kind has.
    Plain,
}

impl Vectors {
    /// The widest that this processor has.
    pub fn widest() -> Self {
        static WIDEST: OnceLock<Vectors> = OnceLock::new();
        *WIDEST.get_or_init(|| *Self::available().first().expect("plain loops run anywhere"))
    }

    /// All that this processor has, the widest first.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let fused = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fused
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
            {
                found.push(Self::Avx512);
            }
            if fused {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Plain);
        found
    }

    /// How many numbers a vector holds.
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 | Self::Plain => 8,
        }
    }

    /// Runs a loop on these vectors.
    ///
    /// # Panics
    /// Vectors that the processor does not have.
    #[inline]
    pub fn run<L: SimdLoop>(self, work: L) -> L::Output {
        // Wider ones stand before narrower ones, and a processor has all that are narrower than its widest.
        assert!(self >= Self::widest(), "{self:?} vectors on a processor without them");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has them.
            Self::Avx512 => unsafe { simd::avx512(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { simd::avx2(work) },
            _ => work.run::<simd::Plain>(),
        }
    }
}

/// A loop over plain slices. `run` and what it calls for every number is `#[inline(always)]`, or it stays narrow.
pub trait Loop {
    /// What it gives.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a loop on the widest vectors there are.
pub fn widest<L: Loop>(work: L) -> L::Output {
    match Vectors::widest() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the features that the function is compiled for.
        Vectors::Avx512 => unsafe { avx512(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Vectors::Avx2 => unsafe { avx2(work) },
        _ => work.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
fn avx512<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevenths<'a>(&'a mut [f32]);

    impl Loop for Sevenths<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            self.0.iter_mut().for_each(|number| *number = *number / 7.0 * 3.0 + 0.1);
        }
    }

    #[test]
    fn wide_vectors_give_the_bits_of_narrow_ones() {
        let numbers: Vec<f32> = (0..1003).map(|number| number as f32 * 0.37 - 100.0).collect();
        let (mut wide, mut narrow) = (numbers.clone(), numbers);
        widest(Sevenths(&mut wide));
        Sevenths(&mut narrow).run();
        assert_eq!(wide, narrow);
    }
}
