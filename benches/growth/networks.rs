//! The networks that are grown, made as large as asked, with weights and moments as after some training.

use std::collections::BTreeMap;

use candle_core::Device;
use perennial::compute::optimizer::{Optimizer, OptimizerState};
use perennial::growth::State;
use perennial::network::builders::NetworkSpec;
use perennial::network::initialize::initialize;
use perennial::network::{Network, ParameterKind, Shape};

const OUTPUTS: usize = 10;

/// A network of about a size.
type Maker = fn(f64) -> Option<Network>;

/// Three hidden layers of one width over 64 inputs.
fn mlp(width: f64) -> Option<Network> {
    let hidden = vec![(width * 16.0).round() as usize; 3];
    NetworkSpec::Mlp { hidden, dropout: 0.0 }.build(&Shape::flat(64), OUTPUTS).ok()
}

/// Four modules over colour images of 8 by 8, in two groups.
fn inception_bn(width: f64) -> Option<Network> {
    NetworkSpec::InceptionBn { modules: 4, width, stem: 32 }.build(&Shape::image(3, 8, 8), OUTPUTS).ok()
}

/// The kinds of networks by name, each the one of its kind that has at most so many parameters.
pub fn of_size(parameters: u64) -> Vec<(&'static str, Network)> {
    let builders: [(_, Maker); 2] = [("mlp", mlp), ("inception_bn", inception_bn)];
    builders.into_iter().filter_map(|(name, build)| Some((name, largest(build, parameters)?))).collect()
}

/// The widest network of at most so many parameters, by bisection.
fn largest(build: fn(f64) -> Option<Network>, parameters: u64) -> Option<Network> {
    let fits = |width: f64| build(width).filter(|network| network.parameter_count() <= parameters);
    let (mut narrow, mut wide) = (0.05, 1000.0);
    let mut found = fits(narrow)?;
    for _ in 0..40 {
        let middle = (narrow + wide) / 2.0;
        match fits(middle) {
            Some(network) => (narrow, found) = (middle, network),
            None => wide = middle,
        }
    }
    Some(found)
}

/// New weights, and moments of Adam that are not zero.
pub fn state(network: &Network) -> anyhow::Result<State> {
    let parameters = initialize(network, 1, &Device::Cpu)?;
    let mut optimizer = OptimizerState { step: 100, moments: BTreeMap::new() };
    for (id, spec) in network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained) {
        let axes = spec.channel_axes();
        let mut moments = Optimizer::ADAM.moments(&parameters[&id], axes.out, axes.input, 0)?;
        moments.first = Some((&parameters[&id] * 0.1)?);
        moments.second = Some(parameters[&id].sqr()?);
        optimizer.moments.insert(id.as_str().to_owned(), moments);
    }
    Ok(State { parameters, optimizer })
}
