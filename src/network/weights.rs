//! The weights file: safetensors, one f32 tensor for every parameter under its name.
//!
//! What is read fits its network exactly; malformed bytes of any kind are an error, never a panic.

use std::collections::BTreeMap;

use candle_core::Device;

use super::error::NetworkError;
use super::graph::Network;
use super::parameter::Parameters;
use crate::compute::tensor_file::{self, Entry};

/// The file of these parameters: the same bytes for the same values.
///
/// # Errors
/// A parameter with a number that is not finite.
pub fn to_bytes(parameters: &Parameters) -> Result<Vec<u8>, NetworkError> {
    let mut entries = BTreeMap::new();
    for (id, value) in parameters {
        entries.insert(id.as_str().to_owned(), Entry::from_tensor(value)?);
    }
    tensor_file::to_bytes(&entries).map_err(NetworkError::Weights)
}

/// Reads the file of `network`'s parameters: every one present, of its shape and f32, none besides, all finite.
pub fn from_bytes(bytes: &[u8], network: &Network, device: &Device) -> Result<Parameters, NetworkError> {
    let mut entries = tensor_file::from_bytes(bytes).map_err(NetworkError::Weights)?;
    let mut parameters = Parameters::new();
    for (id, spec) in network.parameters() {
        let fault = |reason: String| NetworkError::Weights(format!("`{id}` {reason}"));
        let entry = entries.remove(id.as_str()).ok_or_else(|| fault("is missing".into()))?;
        if let Entry::Numbers { dims, .. } = &entry
            && *dims != spec.dims
        {
            return Err(fault(format!("has the shape {dims:?}, but the network's is {:?}", spec.dims)));
        }
        let value = entry.into_tensor(device).ok_or_else(|| fault("is not of f32 numbers".into()))??;
        parameters.insert(id, value);
    }
    match entries.keys().next() {
        Some(name) => Err(NetworkError::Weights(format!("`{name}` is no parameter of the network"))),
        None => Ok(parameters),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::builders::NetworkSpec;
    use super::super::initialize::initialize;
    use super::super::parameter::ParameterId;
    use super::super::shape::Shape;
    use super::*;

    fn network(hidden: usize) -> Network {
        let spec = NetworkSpec::Mlp { hidden: vec![hidden], dropout: 0.0 };
        spec.build(&Shape::flat(3), 2).unwrap()
    }

    fn parameters() -> Parameters {
        initialize(&network(4), 5, &Device::Cpu).unwrap()
    }

    fn refusal(parameters: &Parameters, network: &Network) -> String {
        from_bytes(&to_bytes(parameters).unwrap(), network, &Device::Cpu).unwrap_err().to_string()
    }

    #[test]
    fn a_weights_file_reads_back_bit_for_bit() {
        let bytes = to_bytes(&parameters()).unwrap();
        let back = from_bytes(&bytes, &network(4), &Device::Cpu).unwrap();
        assert_eq!(to_bytes(&back).unwrap(), bytes);
        assert!(back.keys().eq(parameters().keys()));
        for (id, value) in &parameters() {
            assert_eq!(value.dims(), back[id].dims());
            let numbers = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(numbers(value), numbers(&back[id]));
        }
    }

    #[test]
    fn weights_of_another_network_are_refused_with_the_parameter_at_fault() {
        assert!(refusal(&parameters(), &network(5)).contains("`hidden1/weight` has the shape [4, 3]"));
        let mut fewer = parameters();
        fewer.remove(&ParameterId::from_stored("output/bias"));
        assert!(refusal(&fewer, &network(4)).contains("`output/bias` is missing"));
        let mut more = parameters();
        more.insert(ParameterId::from_stored("extra/bias"), more[&ParameterId::from_stored("output/bias")].clone());
        assert!(refusal(&more, &network(4)).contains("`extra/bias` is no parameter"));
    }

    #[test]
    fn numbers_that_are_not_finite_are_never_written() {
        let mut damaged = parameters();
        let bias = damaged.get_mut(&ParameterId::from_stored("output/bias")).unwrap();
        *bias = candle_core::Tensor::new(&[0.0, f32::NAN], &Device::Cpu).unwrap();
        assert!(matches!(to_bytes(&damaged), Err(NetworkError::Weights(_))));
    }

    proptest! {
        #[test]
        fn malformed_weights_never_panic(position: prop::sample::Index, value: u8, length: prop::sample::Index) {
            let mut bytes = to_bytes(&parameters()).unwrap();
            let position = position.index(bytes.len());
            bytes[position] = value;
            let _ = from_bytes(&bytes, &network(4), &Device::Cpu);
            bytes.truncate(length.index(bytes.len()));
            prop_assert!(from_bytes(&bytes, &network(4), &Device::Cpu).is_err());
        }

        #[test]
        fn random_bytes_are_no_weights(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(from_bytes(&bytes, &network(4), &Device::Cpu).is_err());
        }
    }
}
