//! New weights: every parameter drawn as its op declares, each from its own random stream.
//!
//! A parameter's values depend on the seed, its name and its declaration alone, not on the rest of the network.

use candle_core::{Device, Tensor};

use super::error::NetworkError;
use super::graph::Network;
use super::parameter::{Initial, ParameterId, ParameterSpec, Parameters};
use crate::compute::random::{Purpose, Random};

/// The parameters of a new network: a function of the network, the seed and nothing else.
pub fn initialize(network: &Network, seed: u64, device: &Device) -> Result<Parameters, NetworkError> {
    let mut parameters = Parameters::new();
    for (id, spec) in network.parameters() {
        let value = Tensor::from_vec(draw(&id, spec, seed), spec.dims.as_slice(), device)?;
        parameters.insert(id, value);
    }
    Ok(parameters)
}

/// The values of one new parameter, row-major.
pub fn draw(id: &ParameterId, spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let count = spec.dims.iter().product();
    match spec.initial {
        Initial::Constant(value) => vec![value; count],
        Initial::HeNormal { fan_in } => {
            let mut random = Random::keyed(seed, Purpose::Initialize, 0, id.as_str());
            let deviation = (2.0 / fan_in.max(1) as f64).sqrt();
            (0..count).map(|_| (random.normal() * deviation) as f32).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Node, NodeId};
    use super::super::ops::linear::Linear;
    use super::super::shape::Shape;
    use super::*;
    use std::sync::Arc;

    fn network(out: usize) -> Network {
        let node = |id: &str, out, input| Node::new(NodeId::parse(id).unwrap(), Arc::new(Linear { out }), vec![input]);
        let below = node("below", out, NodeId::input());
        let output = node("output", 3, below.id.clone());
        Network::new(Shape::flat(50), vec![below, output]).unwrap()
    }

    fn values(parameters: &Parameters, id: &str) -> Vec<f32> {
        parameters[&ParameterId::from_stored(id)].flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn weights_have_the_variance_of_he_and_biases_are_zero() {
        let parameters = initialize(&network(400), 1, &Device::Cpu).unwrap();
        let weight = values(&parameters, "below/weight");
        let variance = weight.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weight.len() as f64;
        assert!((variance * 50.0 / 2.0 - 1.0).abs() < 0.05, "{variance}");
        assert!(values(&parameters, "below/bias").iter().all(|&bias| bias == 0.0));
    }

    #[test]
    fn a_parameter_depends_on_its_seed_and_name_alone() {
        let all = |seed, out| initialize(&network(out), seed, &Device::Cpu).unwrap();
        assert_eq!(values(&all(1, 4), "below/weight"), values(&all(1, 4), "below/weight"));
        assert_eq!(values(&all(1, 4), "below/weight")[..], values(&all(1, 9), "below/weight")[..200]);
        assert_ne!(values(&all(1, 4), "below/weight"), values(&all(2, 4), "below/weight"));
        assert_ne!(values(&all(1, 3), "below/weight")[..9], values(&all(1, 3), "output/weight")[..]);
    }
}
