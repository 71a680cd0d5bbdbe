//! The most multiply-adds that the processor does: independent chains that never leave the registers.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPool;

/// How many vectors are added up side by side: more than are under way at once, few enough for sixteen registers.
const CHAINS: usize = 12;

/// How often a thread goes through all chains before the clock is read.
const PASSES: usize = 200_000;

/// Floating-point operations a second of all threads of the pool together, the most that was seen in so many seconds; a
/// multiply-add counts as two.
pub fn measure(pool: &ThreadPool, seconds: f64) -> f64 {
    let (start, mut most) = (Instant::now(), 0.0);
    while most == 0.0 || start.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        let lanes = pool.broadcast(|_| multiply_adds());
        let operations: usize = lanes.into_iter().map(|lanes| 2 * lanes * CHAINS * PASSES).sum();
        most = f64::max(most, operations as f64 / start.elapsed().as_secs_f64());
    }
    most
}

/// Goes through all chains in the widest vectors that the processor has; gives how many numbers one of them holds.
fn multiply_adds() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            unsafe { avx512() };
            return 16;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            unsafe { avx2() };
            return 8;
        }
    }
    plain();
    4
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps};
    let (factor, term) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..PASSES {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps};
    let (factor, term) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
    let mut sums = [_mm256_setzero_ps(); CHAINS];
    for _ in 0..PASSES {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    black_box(sums);
}

/// Elsewhere the compiler makes vectors of four, which every processor of interest has.
fn plain() {
    let (factor, term) = (black_box(0.5f32), black_box(1.0f32));
    let mut sums = [[0.0f32; 4]; CHAINS];
    for _ in 0..PASSES {
        for sum in sums.iter_mut().flatten() {
            *sum = *sum * factor + term;
        }
    }
    black_box(sums);
}
