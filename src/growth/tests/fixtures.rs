//! Networks, training states and the whole way of a growth, for the tests beside this file.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::super::*;
use crate::compute::optimizer::{Optimizer, OptimizerState};
use crate::compute::random::{Purpose, Random};
use crate::network::builders::NetworkSpec;
use crate::network::initialize::initialize;
use crate::network::ops::add::Add;
use crate::network::ops::batch_norm::BatchNorm;
use crate::network::ops::concat::Concat;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::linear::Linear;
use crate::network::ops::max_pool::MaxPool;
use crate::network::ops::relu::Relu;
use crate::network::ops::split;
pub use crate::network::samples::id;
use crate::network::{Network, Node, Op, ParameterId, ParameterKind, Shape};

pub fn node(name: &str, op: impl Op, inputs: &[&str]) -> Node {
    Node::new(id(name), Arc::new(op), inputs.iter().map(|text| id(text)).collect())
}

pub fn mlp(hidden: &[usize]) -> Network {
    NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout: 0.0 }.build(&Shape::flat(5), 3).unwrap()
}

pub fn cnn(channels: &[usize]) -> Network {
    NetworkSpec::Cnn { channels: channels.to_vec() }.build(&Shape::image(1, 6, 6), 3).unwrap()
}

/// A convolution whose planes are flattened into a linear layer.
pub fn flattened() -> Network {
    let nodes = vec![
        node("conv", Conv2d::same(3, [3, 3]), &["input"]),
        node("norm", BatchNorm::default(), &["conv"]),
        node("relu", Relu, &["norm"]),
        node("pool", MaxPool::unpadded([2, 2], [2, 2]), &["relu"]),
        node("flatten", Flatten, &["pool"]),
        node("hidden", Linear { out: 4 }, &["flatten"]),
        node("hidden_relu", Relu, &["hidden"]),
        node("output", Linear { out: 3 }, &["hidden_relu"]),
    ];
    Network::new(Shape::image(2, 4, 6), nodes).unwrap()
}

/// A residual net: the stem and the last layers of two branches share their channels; norms before and after the sums.
pub fn residual() -> Network {
    let nodes = vec![
        node("stem", Linear { out: 4 }, &["input"]),
        node("stem_norm", BatchNorm::default(), &["stem"]),
        node("stem_relu", Relu, &["stem_norm"]),
        node("a_inner", Linear { out: 3 }, &["stem_relu"]),
        node("a_relu", Relu, &["a_inner"]),
        node("a_outer", Linear { out: 4 }, &["a_relu"]),
        node("a_sum", Add, &["stem", "a_outer"]),
        node("b_norm", BatchNorm::default(), &["a_sum"]),
        node("b_relu", Relu, &["b_norm"]),
        node("b_outer", Linear { out: 4 }, &["b_relu"]),
        node("b_sum", Add, &["a_sum", "b_outer"]),
        node("end", Relu, &["b_sum"]),
        node("output", Linear { out: 2 }, &["end"]),
    ];
    Network::new(Shape::flat(5), nodes).unwrap()
}

/// One tensor twice and another in a concatenation, of which a range is summed with a layer of its own.
pub fn branching() -> Network {
    let nodes = vec![
        node("a", Linear { out: 3 }, &["input"]),
        node("a_relu", Relu, &["a"]),
        node("b", Linear { out: 2 }, &["input"]),
        node("joined", Concat, &["a_relu", "b", "a_relu"]),
        node("c", Linear { out: 8 }, &["input"]),
        node("sum", Add, &["c", "joined"]),
        node("part", split::Split { start: 1, end: 6 }, &["sum"]),
        node("d", Linear { out: 5 }, &["sum"]),
        node("sum2", Add, &["part", "d"]),
        node("all", Concat, &["sum2", "input", "sum"]),
        node("output", Linear { out: 3 }, &["all"]),
    ];
    Network::new(Shape::flat(4), nodes).unwrap()
}

pub fn normals(count: usize, key: &str) -> Vec<f32> {
    let mut random = Random::keyed(1, Purpose::Probe, 0, key);
    (0..count).map(|_| random.normal() as f32).collect()
}

/// Parameters none of which has a special value, and moments as after 7 steps, with births of several ages.
pub fn state(network: &Network, optimizer: &Optimizer) -> State {
    let mut parameters = initialize(network, 2, &Device::Cpu).unwrap();
    for (id, value) in &mut parameters {
        let moved = Tensor::from_vec(normals(value.elem_count(), id.as_str()), value.shape(), &Device::Cpu).unwrap();
        let by = if id.as_str().ends_with("variance") { moved.abs() } else { moved * 0.2 };
        *value = (&*value + by.unwrap()).unwrap();
    }
    let mut state = OptimizerState { step: 7, ..OptimizerState::default() };
    for (id, spec) in network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained) {
        let axes = spec.channel_axes();
        let mut moments = optimizer.moments(&parameters[&id], axes.out, axes.input, 0).unwrap();
        let random = |key: &str| {
            let numbers = normals(spec.dims.iter().product(), &format!("{id}/{key}"));
            Tensor::from_vec(numbers, spec.dims.as_slice(), &Device::Cpu).unwrap()
        };
        moments.first = moments.first.map(|_| random("first"));
        moments.second = moments.second.map(|_| random("second").sqr().unwrap());
        for births in [&mut moments.out_births, &mut moments.in_births].into_iter().flatten() {
            births.steps.iter_mut().enumerate().for_each(|(index, step)| *step = index as u64 % 5);
        }
        state.moments.insert(id.as_str().to_owned(), moments);
    }
    State { parameters, optimizer: state }
}

pub fn wider(nodes: &[&str], extent: Extent, split: Split) -> GrowthRequest {
    GrowthRequest::Wider(Wider { nodes: Nodes::These(nodes.iter().map(|text| id(text)).collect()), extent, split })
}

pub fn wider_all(factor: f64, split: Split) -> GrowthRequest {
    GrowthRequest::Wider(Wider { nodes: Nodes::All, extent: Extent::Factor(factor), split })
}

pub fn deeper(nodes: &[&str], kind: DeeperKind) -> GrowthRequest {
    GrowthRequest::Deeper(Deeper::plain(Nodes::These(nodes.iter().map(|text| id(text)).collect()), kind))
}

pub fn probe(network: &Network) -> Probe {
    let size = network.input().elements();
    let rows = normals(size * 20, "probe").chunks(size).map(<[f32]>::to_vec).collect();
    Probe { rows, seed: 3 }
}

/// Plans, applies and certifies; panics on a refusal.
pub fn grow(network: &Network, state: &State, request: &GrowthRequest) -> (Plan, State, Certificate) {
    grow_by(network, state, request, 5)
}

pub fn grow_by(network: &Network, state: &State, request: &GrowthRequest, seed: u64) -> (Plan, State, Certificate) {
    let plan = plan(network, request, seed).unwrap();
    let plan = measure(plan, network, &state.parameters, &probe(network)).unwrap();
    let grown = apply(&plan, network, state, &Optimizer::ADAM).unwrap();
    let teacher = (network, &state.parameters);
    let certificate = certify(&plan, teacher, (plan.student(), &grown.parameters), &probe(network)).unwrap();
    (plan, grown, certificate)
}

pub fn refusal(network: &Network, request: &GrowthRequest) -> Refusal {
    plan(network, request, 5).unwrap_err()
}

pub fn numbers(state: &State, parameter: &str) -> Vec<f32> {
    state.parameters[&ParameterId::from_stored(parameter)].flatten_all().unwrap().to_vec1().unwrap()
}

pub fn width(network: &Network, node: &str) -> usize {
    network.shape(&id(node)).unwrap().channels()
}
