//! Whether tensors hold nothing but numbers of at most some size, and how long they are together: what a trainer asks of
//! gradients and statistics before they enter its state.
//!
//! On a GPU the answer for all of them comes to the host at once, since every question there waits for all work before it.

use candle_core::{CpuStorage, DType, Result, Storage, Tensor};

use super::optimizer::{LARGEST_GRADIENT, norm_and_check};

/// Numbers that a GPU sums or compares side by side before their results.
const ROW: usize = 1 << 10;

/// The size of gradients.
#[derive(Debug, PartialEq)]
pub enum Squares<K> {
    /// The sum of the squares of all their numbers.
    Sum(f64),
    /// The first that holds something else than numbers of at most [`LARGEST_GRADIENT`] in size.
    TooLarge(K),
}

/// The sum of the squares of these f32 tensors, all of one device.
pub fn squares<'a, K>(tensors: impl Iterator<Item = (K, &'a Tensor)> + Clone) -> Result<Squares<K>> {
    let mut sum = 0.0;
    let mut elsewhere = false;
    for (key, tensor) in tensors.clone() {
        if !tensor.device().is_cpu() {
            elsewhere = true;
            break;
        }
        sum += lend(tensor, norm_and_check)?;
        if !sum.is_finite() {
            return Ok(Squares::TooLarge(key));
        }
    }
    if !elsewhere {
        return Ok(Squares::Sum(sum));
    }
    let sum = sum_of_squares(tensors.clone().map(|(_, tensor)| tensor))?;
    let largest = f64::from(LARGEST_GRADIENT);
    // One that is too large makes the sum too large, and one that is no number makes it none.
    if sum <= largest * largest {
        return Ok(Squares::Sum(sum));
    }
    Ok(first_beyond(tensors, LARGEST_GRADIENT)?.map_or(Squares::Sum(sum), Squares::TooLarge))
}

/// The first of these f32 tensors that holds something else than numbers of at most `largest` in size, if any does.
pub fn first_beyond<'a, K>(tensors: impl Iterator<Item = (K, &'a Tensor)>, largest: f32) -> Result<Option<K>> {
    let mut elsewhere = Vec::new();
    for (key, tensor) in tensors {
        if !tensor.device().is_cpu() {
            elsewhere.push((key, tensor));
        } else if !lend(tensor, |values| fits(values, largest))? {
            return Ok(Some(key));
        }
    }
    if elsewhere.is_empty() || all_within(elsewhere.iter().map(|(_, tensor)| *tensor), largest)? {
        return Ok(None);
    }
    for (key, tensor) in elsewhere {
        if !all_within([tensor].into_iter(), largest)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// By the device's own operations; squares and short sums in f32, sums of these in f64.
fn sum_of_squares<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    rows_of(tensors)?.sqr()?.sum(1)?.to_dtype(DType::F64)?.sum_all()?.to_scalar()
}

/// By the device's own operations.
fn all_within<'a>(tensors: impl Iterator<Item = &'a Tensor>, largest: f32) -> Result<bool> {
    // What is not a number is not less than anything.
    let fits = rows_of(tensors)?.abs()?.le(largest)?;
    Ok(fits.min(1)?.min_all()?.to_scalar::<u8>()? == 1)
}

/// All numbers of these tensors in rows of [`ROW`], zeros behind them: a reduction to one number at once would be done by
/// a small part of a GPU.
fn rows_of<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Tensor> {
    let mut flat = tensors.map(Tensor::flatten_all).collect::<Result<Vec<Tensor>>>()?;
    let count: usize = flat.iter().map(Tensor::elem_count).sum();
    if let (Some(first), missing @ 1..) = (flat.first(), count.next_multiple_of(ROW) - count) {
        flat.push(Tensor::zeros(missing, DType::F32, first.device())?);
    }
    Tensor::cat(&flat, 0)?.reshape(((), ROW))
}

/// Whether all of these are numbers of at most `largest` in size.
pub fn fits(values: &[f32], largest: f32) -> bool {
    // Without an early exit the loop over a chunk becomes vector instructions.
    values.chunks(4_096).all(|chunk| chunk.iter().fold(true, |all, value| all & (value.abs() <= largest)))
}

/// The numbers of an f32 tensor, lent to a function; copied only where they are not on the CPU in order.
pub fn lend<R>(tensor: &Tensor, use_numbers: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        return Ok(use_numbers(&values[start..end]));
    }
    drop(storage);
    Ok(use_numbers(&tensor.flatten_all()?.to_vec1::<f32>()?))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn loops_and_tensor_operations_find_the_same() {
        let finite = [0.0, -1.0, 2.0, f32::MIN_POSITIVE];
        for (odd, fits) in [(3.0, true), (-3.0, true), (3.1, false), (-3.1, false)] {
            let numbers = tensor(&[finite.as_slice(), &[odd]].concat());
            assert_eq!(lend(&numbers, |values| super::fits(values, 3.0)).unwrap(), fits, "{odd}");
            assert_eq!(all_within([&tensor(&finite), &numbers].into_iter(), 3.0).unwrap(), fits, "{odd}");
        }
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let numbers = tensor(&[finite.as_slice(), &[odd]].concat());
            assert!(!lend(&numbers, |values| super::fits(values, f32::MAX)).unwrap(), "{odd}");
            assert!(!all_within([&numbers, &tensor(&finite)].into_iter(), f32::MAX).unwrap(), "{odd}");
        }
    }

    #[test]
    fn the_first_tensor_that_does_not_fit_is_named() {
        let tensors = [("a", tensor(&[1.0])), ("b", tensor(&[f32::NAN])), ("c", tensor(&[f32::INFINITY]))];
        let named = |count: usize| tensors[..count].iter().map(|(name, tensor)| (*name, tensor));
        assert_eq!(first_beyond(named(1), 1.0).unwrap(), None);
        assert_eq!(first_beyond(named(3), f32::MAX).unwrap(), Some("b"));
        assert_eq!(first_beyond(named(0), 1.0).unwrap(), None);
    }

    #[test]
    fn squares_sum_alike_by_loops_and_by_tensor_operations() {
        for count in [1usize, 1_023, 1_024, 5_000] {
            let values: Vec<f32> = (0..count).map(|at| (at % 17) as f32 - 8.0).collect();
            let tensors = [("a", tensor(&values)), ("b", tensor(&[0.5]))];
            let expected = values.iter().map(|value| f64::from(value * value)).sum::<f64>() + 0.25;
            let ours = sum_of_squares(tensors.iter().map(|(_, tensor)| tensor)).unwrap();
            assert!((ours - expected).abs() <= 1e-6 * expected, "{ours} {expected}");
            let named = tensors.iter().map(|(name, tensor)| (*name, tensor));
            assert!(matches!(squares(named).unwrap(), Squares::Sum(sum) if (sum - expected).abs() <= 1e-9 * expected));
        }
    }

    #[test]
    fn the_first_gradient_that_is_too_large_is_named() {
        let tensors = [("a", tensor(&[1e18])), ("b", tensor(&[2e18])), ("c", tensor(&[f32::NAN]))];
        let named = |range: std::ops::Range<usize>| tensors[range].iter().map(|(name, tensor)| (*name, tensor));
        assert!(matches!(squares(named(0..1)).unwrap(), Squares::Sum(sum) if sum > 0.99e36));
        assert_eq!(squares(named(0..3)).unwrap(), Squares::TooLarge("b"));
        assert_eq!(squares(named(2..3)).unwrap(), Squares::TooLarge("c"));
    }
}
