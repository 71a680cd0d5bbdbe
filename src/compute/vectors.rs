//! Loops over many numbers, compiled for the widest vectors that the processor turns out to have.
//!
//! A build is for any processor of its kind, whose vectors are narrow; what a loop computes is the same to the bit by any
//! of them, because nothing is contracted or reordered. Anything with a hot loop over plain slices may use it.

/// A loop over plain slices. `run` and what it calls for every number is `#[inline(always)]`, or it stays narrow.
pub trait Loop {
    /// What it gives.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a loop on the widest vectors there are.
pub fn widest<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { avx2(work) };
        }
    }
    work.run()
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
