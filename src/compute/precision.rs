//! How exactly a GPU computes matrix products. Everything else, and everything on the CPU, is f32 always.
//!
//! Chosen once, before a process computes anything ([`Precision::choose`]); ops multiply with [`product`]. Weights, moments,
//! gradients and sums stay f32: only the two factors of a product are rounded.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Result, Tensor};

/// The precision of matrix products on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits of significand, as on the CPU.
    F32,
    /// 11 bits of significand and f32's range, on tensor cores; sums in f32.
    Tf32,
    /// 8 bits of significand and f32's range, on tensor cores; sums in f32, the product rounded once more.
    Bf16,
}

/// A precision that cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrecisionError {
    /// No such name.
    #[error("there is no precision `{0}`; precisions are `f32`, `tf32` and `bf16`")]
    Unknown(String),
    /// The CPU has one precision.
    #[error("the precision `{0}` is one of GPUs; on the CPU products are `f32`")]
    NotOnCpu(&'static str),
}

/// Whether [`product`] rounds to bf16 on GPUs. candle keeps the same kind of switch for TF32.
static ROUND_TO_BF16: AtomicBool = AtomicBool::new(false);

impl Precision {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Makes this the precision of all products that the process computes on GPUs from now on.
    ///
    /// # Errors
    /// Another precision than f32 where `device` is the CPU.
    pub fn choose(self, device: &Device) -> std::result::Result<(), PrecisionError> {
        if device.is_cpu() && self != Self::F32 {
            return Err(PrecisionError::NotOnCpu(self.name()));
        }
        ROUND_TO_BF16.store(self == Self::Bf16, Ordering::Relaxed);
        candle_core::cuda::set_gemm_reduced_precision_f32(self == Self::Tf32);
        Ok(())
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(text: &str) -> std::result::Result<Self, PrecisionError> {
        let all = [Self::F32, Self::Tf32, Self::Bf16];
        all.into_iter()
            .find(|precision| precision.name() == text)
            .ok_or_else(|| PrecisionError::Unknown(text.to_owned()))
    }
}

/// The matrix product of two f32 tensors, in the precision chosen for the device they are on.
pub fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    if left.device().is_cpu() || !ROUND_TO_BF16.load(Ordering::Relaxed) {
        return left.matmul(right);
    }
    rounded_product(left, right)
}

/// The product of the two rounded to bf16, as f32.
fn rounded_product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    left.to_dtype(DType::BF16)?.matmul(&right.to_dtype(DType::BF16)?)?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, unit: f32) -> Tensor {
        let values: Vec<f32> = (0..rows * columns).map(|at| ((at * 7 % 13) as f32 - 6.0) * unit).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn names_read_back_and_others_are_refused() {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            assert_eq!(precision.name().parse(), Ok(precision));
        }
        assert_eq!("fp16".parse::<Precision>(), Err(PrecisionError::Unknown("fp16".into())));
    }

    #[test]
    fn the_cpu_has_one_precision_and_says_so() {
        assert_eq!(Precision::F32.choose(&Device::Cpu), Ok(()));
        for precision in [Precision::Tf32, Precision::Bf16] {
            let error = precision.choose(&Device::Cpu).unwrap_err();
            assert!(error.to_string().contains(precision.name()) && error.to_string().contains("CPU"), "{error}");
        }
    }

    #[test]
    fn products_on_the_cpu_are_those_of_f32() {
        let (left, right) = (matrix(3, 5, 0.1), matrix(5, 4, 0.1));
        let (ours, plain) = (product(&left, &right).unwrap(), left.matmul(&right).unwrap());
        assert_eq!(ours.to_vec2::<f32>().unwrap(), plain.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn a_rounded_product_differs_by_no_more_than_bf16_rounds() {
        let (left, right) = (matrix(3, 5, 0.1), matrix(5, 4, 0.1));
        let rounded = rounded_product(&left, &right.t().unwrap().contiguous().unwrap().t().unwrap()).unwrap();
        assert_eq!(rounded.dtype(), DType::F32);
        let (rounded, exact) =
            (rounded.to_vec2::<f32>().unwrap(), left.matmul(&right).unwrap().to_vec2::<f32>().unwrap());
        let sizes = left.abs().unwrap().matmul(&right.abs().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let pairs = rounded.concat().into_iter().zip(exact.concat()).zip(sizes.concat());
        let mut differs = false;
        for ((rounded, exact), size) in pairs {
            // Two factors and the product, each by at most 2^-8 of itself.
            assert!((rounded - exact).abs() <= 3.1 * size / 256.0, "{rounded} {exact}");
            differs |= rounded != exact;
        }
        assert!(differs);
    }
}
