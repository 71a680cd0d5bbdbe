//! Named tensors as a safetensors file: the same bytes for the same values.
//!
//! Only finite f32 numbers and u64 counts go through, in either direction. The weights file and the optimizer state are
//! built on it; what is wrong comes back as a text that each of them puts into its own error.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

/// The content of one entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// f32 numbers, row-major.
    Numbers { dims: Vec<usize>, values: Vec<f32> },
    /// A row of counts.
    Counts(Vec<u64>),
}

impl Entry {
    /// The numbers of an f32 tensor on any device.
    pub fn from_tensor(tensor: &Tensor) -> candle_core::Result<Self> {
        Ok(Self::Numbers { dims: tensor.dims().to_vec(), values: tensor.flatten_all()?.to_vec1()? })
    }

    /// The numbers as a tensor on a device; `None` for counts.
    pub fn into_tensor(self, device: &Device) -> Option<candle_core::Result<Tensor>> {
        match self {
            Self::Numbers { dims, values } => Some(Tensor::from_vec(values, dims, device)),
            Self::Counts(_) => None,
        }
    }

    fn encode(&self) -> (Dtype, Vec<usize>, Vec<u8>) {
        match self {
            Self::Numbers { dims, values } => {
                (Dtype::F32, dims.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Self::Counts(counts) => {
                (Dtype::U64, vec![counts.len()], counts.iter().flat_map(|count| count.to_le_bytes()).collect())
            }
        }
    }

    fn decode(view: &TensorView<'_>) -> Result<Self, &'static str> {
        match view.dtype() {
            Dtype::F32 => {
                let (chunks, _) = view.data().as_chunks::<4>();
                let values: Vec<f32> = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
                if !values.iter().all(|value| value.is_finite()) {
                    return Err("holds a number that is not finite");
                }
                Ok(Self::Numbers { dims: view.shape().to_vec(), values })
            }
            Dtype::U64 if view.shape().len() == 1 => {
                let (chunks, _) = view.data().as_chunks::<8>();
                Ok(Self::Counts(chunks.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect()))
            }
            _ => Err("is neither of f32 numbers nor a row of u64 counts"),
        }
    }
}

/// The file of these entries.
pub fn to_bytes(entries: &BTreeMap<String, Entry>) -> Result<Vec<u8>, String> {
    let mut encoded = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        if matches!(entry, Entry::Numbers { values, .. } if !values.iter().all(|value| value.is_finite())) {
            return Err(format!("`{name}` holds a number that is not finite"));
        }
        encoded.push((name.as_str(), entry.encode()));
    }
    let mut views = Vec::with_capacity(encoded.len());
    for (name, (dtype, dims, bytes)) in &encoded {
        views.push((*name, TensorView::new(*dtype, dims.clone(), bytes).map_err(|error| error.to_string())?));
    }
    // `serialize` orders entries by type and name, and there is no metadata whose order could vary.
    serialize(views, None).map_err(|error| error.to_string())
}

/// Reads such a file; malformed bytes of any kind are an error.
pub fn from_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut entries = BTreeMap::new();
    for (name, view) in file.iter() {
        let entry = Entry::decode(&view).map_err(|fault| format!("`{name}` {fault}"))?;
        entries.insert(name.to_owned(), entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> BTreeMap<String, Entry> {
        BTreeMap::from([
            (
                "b/weight".to_owned(),
                Entry::Numbers { dims: vec![2, 3], values: vec![0.0, -1.5, 2.0, 3.0, 4.0, f32::MAX] },
            ),
            ("a/bias".to_owned(), Entry::Numbers { dims: vec![1], values: vec![f32::MIN_POSITIVE] }),
            ("births".to_owned(), Entry::Counts(vec![0, u64::MAX])),
        ])
    }

    #[test]
    fn a_file_reads_back_and_has_always_the_same_bytes() {
        let bytes = to_bytes(&file()).unwrap();
        assert_eq!(from_bytes(&bytes).unwrap(), file());
        assert!((0..8).all(|_| to_bytes(&file()).unwrap() == bytes));
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_both_ways() {
        let mut entries = file();
        entries.insert("c".into(), Entry::Numbers { dims: vec![1], values: vec![f32::NAN] });
        assert!(to_bytes(&entries).unwrap_err().contains("`c`"));
        let mut bytes = to_bytes(&file()).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        assert!(from_bytes(&bytes).unwrap_err().contains("not finite"));
    }

    proptest! {
        #[test]
        fn malformed_bytes_never_panic(position in 0usize..400, value: u8, length in 0usize..400) {
            let mut bytes = to_bytes(&file()).unwrap();
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = from_bytes(&bytes);
            bytes.truncate(length);
            let _ = from_bytes(&bytes);
        }
    }
}
