//! Whether tensors hold nothing but numbers of at most some size: what a trainer asks of gradients, weights and statistics
//! before they enter its state.
//!
//! On a GPU the answer for all of them comes to the host at once, since every question there waits for all work before it.

use candle_core::{CpuStorage, Result, Storage, Tensor};

/// The first of these f32 tensors that holds something else than numbers of at most `largest` in size, if any does.
pub fn first_beyond<'a, K>(tensors: impl Iterator<Item = (K, &'a Tensor)>, largest: f32) -> Result<Option<K>> {
    let mut elsewhere = Vec::new();
    for (key, tensor) in tensors {
        if !tensor.device().is_cpu() {
            elsewhere.push((key, tensor));
        } else if !within(tensor, largest)? {
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

/// For tensors of one device, by its own operations.
fn all_within<'a>(tensors: impl Iterator<Item = &'a Tensor>, largest: f32) -> Result<bool> {
    let flat = tensors.map(Tensor::flatten_all).collect::<Result<Vec<Tensor>>>()?;
    // What is not a number is not less than anything.
    let fits = Tensor::cat(&flat, 0)?.abs()?.le(largest)?;
    Ok(fits.min_all()?.to_scalar::<u8>()? == 1)
}

/// For a tensor on the CPU.
fn within(tensor: &Tensor, largest: f32) -> Result<bool> {
    let fits = |values: &[f32]| {
        // Without an early exit the loop over a chunk becomes vector instructions.
        values.chunks(4_096).all(|chunk| chunk.iter().fold(true, |all, value| all & (value.abs() <= largest)))
    };
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        return Ok(fits(&values[start..end]));
    }
    drop(storage);
    Ok(fits(&tensor.flatten_all()?.to_vec1::<f32>()?))
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
            assert_eq!(within(&numbers, 3.0).unwrap(), fits, "{odd}");
            assert_eq!(all_within([&tensor(&finite), &numbers].into_iter(), 3.0).unwrap(), fits, "{odd}");
        }
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let numbers = tensor(&[finite.as_slice(), &[odd]].concat());
            assert!(!within(&numbers, f32::MAX).unwrap(), "{odd}");
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
}
