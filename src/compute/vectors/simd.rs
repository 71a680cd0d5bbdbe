//! Vectors by name: one interface over the widths, for loops whose registers are planned by hand.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A loop that names its vectors. `run` and what it calls for every vector is `#[inline(always)]`.
pub trait SimdLoop {
    /// What it gives.
    type Output;

    /// Runs it on vectors of `S`.
    fn run<S: Simd>(self) -> Self::Output;
}

/// A vector of f32 numbers and what can be done with it. The safety of all its functions is that of the trait.
///
/// # Safety
/// The functions run the processor's instructions: they may only be called inside [`super::Vectors::run`]. Pointers must
/// be valid for the numbers that are read or written.
#[expect(clippy::missing_safety_doc)]
pub unsafe trait Simd: Copy {
    /// The vector.
    type Vector: Copy;

    /// How many numbers it holds.
    const LANES: usize;

    /// The same number in every lane.
    unsafe fn splat(number: f32) -> Self::Vector;
    /// `LANES` numbers from memory.
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// The first `count` lanes from memory, 1 to `LANES`; the others are 0.
    unsafe fn load_part(from: *const f32, count: usize) -> Self::Vector;
    /// All lanes to memory.
    unsafe fn store(to: *mut f32, vector: Self::Vector);
    /// The first `count` lanes to memory, 1 to `LANES`.
    unsafe fn store_part(to: *mut f32, vector: Self::Vector, count: usize);
    /// a * b + c, in one rounding where the processor can.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// a + b.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a - b.
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b.
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where it is above 0, else `b`; `b` where `a` is not a number.
    unsafe fn positive_or(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `value` where `sign` is above 0, else `other`.
    unsafe fn where_positive(sign: Self::Vector, value: Self::Vector, other: Self::Vector) -> Self::Vector;
    /// The sum of all lanes, by halves.
    unsafe fn sum(a: Self::Vector) -> f32;
}

/// 16 numbers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
pub(super) fn avx512<L: SimdLoop>(work: L) -> L::Output {
    work.run::<Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    (u32::MAX >> (32 - count)) as __mmask16
}

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
// SAFETY: every function is one or a few instructions of the features that `avx512` is compiled for.
unsafe impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;

    #[inline(always)] unsafe fn splat(number: f32) -> __m512 { unsafe { _mm512_set1_ps(number) } }
    #[inline(always)] unsafe fn load(from: *const f32) -> __m512 { unsafe { _mm512_loadu_ps(from) } }
    #[inline(always)] unsafe fn load_part(from: *const f32, count: usize) -> __m512 { unsafe { _mm512_maskz_loadu_ps(first(count), from) } }
    #[inline(always)] unsafe fn store(to: *mut f32, vector: __m512) { unsafe { _mm512_storeu_ps(to, vector) } }
    #[inline(always)] unsafe fn store_part(to: *mut f32, vector: __m512, count: usize) { unsafe { _mm512_mask_storeu_ps(to, first(count), vector) } }
    #[inline(always)] unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 { unsafe { _mm512_fmadd_ps(a, b, c) } }
    #[inline(always)] unsafe fn add(a: __m512, b: __m512) -> __m512 { unsafe { _mm512_add_ps(a, b) } }
    #[inline(always)] unsafe fn subtract(a: __m512, b: __m512) -> __m512 { unsafe { _mm512_sub_ps(a, b) } }
    #[inline(always)] unsafe fn multiply(a: __m512, b: __m512) -> __m512 { unsafe { _mm512_mul_ps(a, b) } }
    #[inline(always)] unsafe fn positive_or(a: __m512, b: __m512) -> __m512 { unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps()), b, a) } }
    #[inline(always)] unsafe fn where_positive(sign: __m512, value: __m512, other: __m512) -> __m512 { unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(sign, _mm512_setzero_ps()), other, value) } }
    #[inline(always)] unsafe fn sum(a: __m512) -> f32 { unsafe { Avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a))) } }
}

/// 8 numbers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2<L: SimdLoop>(work: L) -> L::Output {
    work.run::<Avx2>()
}

/// All bits of the first `count` lanes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn lanes(count: usize) -> __m256i {
    static BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `count` is 1 to 8, so 8 numbers lie within the 16.
    unsafe { _mm256_loadu_si256(BITS.as_ptr().add(8 - count).cast()) }
}

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
// SAFETY: every function is one or a few instructions of the features that `avx2` is compiled for.
unsafe impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;

    #[inline(always)] unsafe fn splat(number: f32) -> __m256 { unsafe { _mm256_set1_ps(number) } }
    #[inline(always)] unsafe fn load(from: *const f32) -> __m256 { unsafe { _mm256_loadu_ps(from) } }
    #[inline(always)] unsafe fn load_part(from: *const f32, count: usize) -> __m256 { unsafe { _mm256_maskload_ps(from, lanes(count)) } }
    #[inline(always)] unsafe fn store(to: *mut f32, vector: __m256) { unsafe { _mm256_storeu_ps(to, vector) } }
    #[inline(always)] unsafe fn store_part(to: *mut f32, vector: __m256, count: usize) { unsafe { _mm256_maskstore_ps(to, lanes(count), vector) } }
    #[inline(always)] unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 { unsafe { _mm256_fmadd_ps(a, b, c) } }
    #[inline(always)] unsafe fn add(a: __m256, b: __m256) -> __m256 { unsafe { _mm256_add_ps(a, b) } }
    #[inline(always)] unsafe fn subtract(a: __m256, b: __m256) -> __m256 { unsafe { _mm256_sub_ps(a, b) } }
    #[inline(always)] unsafe fn multiply(a: __m256, b: __m256) -> __m256 { unsafe { _mm256_mul_ps(a, b) } }
    #[inline(always)] unsafe fn positive_or(a: __m256, b: __m256) -> __m256 { unsafe { _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps())) } }
    #[inline(always)] unsafe fn where_positive(sign: __m256, value: __m256, other: __m256) -> __m256 { unsafe { _mm256_blendv_ps(other, value, _mm256_cmp_ps::<_CMP_GT_OQ>(sign, _mm256_setzero_ps())) } }
    #[inline(always)] unsafe fn sum(a: __m256) -> f32 { unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    } }
}

/// 8 numbers in plain code, which the compiler lays over what vectors there are.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// What a vector of [`Plain`] holds.
const PLAIN: usize = 8;

#[inline(always)]
fn lanewise(f: impl Fn(usize) -> f32) -> [f32; PLAIN] {
    let mut result = [0.0; PLAIN];
    (0..PLAIN).for_each(|lane| result[lane] = f(lane));
    result
}

#[rustfmt::skip]
// SAFETY: plain code; the pointers are the caller's promise.
unsafe impl Simd for Plain {
    type Vector = [f32; PLAIN];
    const LANES: usize = PLAIN;

    #[inline(always)] unsafe fn splat(number: f32) -> [f32; PLAIN] { [number; PLAIN] }
    #[inline(always)] unsafe fn load(from: *const f32) -> [f32; PLAIN] { unsafe { from.cast::<[f32; PLAIN]>().read_unaligned() } }
    #[inline(always)] unsafe fn load_part(from: *const f32, count: usize) -> [f32; PLAIN] { lanewise(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 }) }
    #[inline(always)] unsafe fn store(to: *mut f32, vector: [f32; PLAIN]) { unsafe { to.cast::<[f32; PLAIN]>().write_unaligned(vector) } }
    #[inline(always)] unsafe fn store_part(to: *mut f32, vector: [f32; PLAIN], count: usize) { (0..count).for_each(|lane| unsafe { *to.add(lane) = vector[lane] }) }
    #[inline(always)] unsafe fn multiply_add(a: [f32; PLAIN], b: [f32; PLAIN], c: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| a[lane] * b[lane] + c[lane]) }
    #[inline(always)] unsafe fn add(a: [f32; PLAIN], b: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| a[lane] + b[lane]) }
    #[inline(always)] unsafe fn subtract(a: [f32; PLAIN], b: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| a[lane] - b[lane]) }
    #[inline(always)] unsafe fn multiply(a: [f32; PLAIN], b: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| a[lane] * b[lane]) }
    #[inline(always)] unsafe fn positive_or(a: [f32; PLAIN], b: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| if a[lane] > 0.0 { a[lane] } else { b[lane] }) }
    #[inline(always)] unsafe fn where_positive(sign: [f32; PLAIN], value: [f32; PLAIN], other: [f32; PLAIN]) -> [f32; PLAIN] { lanewise(|lane| if sign[lane] > 0.0 { value[lane] } else { other[lane] }) }
    #[inline(always)] unsafe fn sum(a: [f32; PLAIN]) -> f32 { ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])) }
}
