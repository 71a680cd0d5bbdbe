//! Whole networks: both passes against the f64 reference, over sizes that divide nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::builders::NetworkSpec;
use super::execute::{backward, evaluate, forward};
use super::graph::{Node, NodeId};
use super::initialize::initialize;
use super::loss::{cross_entropy, of_tensor, squared_error};
use super::op::{Op, ReferenceBatch};
use super::ops::add::Add;
use super::ops::linear::Linear;
use super::ops::relu::Relu;
use super::*;
use crate::compute::optimizer::{Optimizer, Rate};
use crate::compute::random::{Purpose, Random};

const TRAIN: Mode = Mode::Train { seed: 11, step: 3 };

fn mlp(hidden: &[usize], dropout: f64, input: &Shape, outputs: usize) -> Network {
    NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout }.build(input, outputs).unwrap()
}

fn cnn(channels: &[usize], input: &Shape, outputs: usize) -> Network {
    NetworkSpec::Cnn { channels: channels.to_vec() }.build(input, outputs).unwrap()
}

fn node(id: &str, op: impl Op, inputs: &[&str]) -> Node {
    let inputs = inputs.iter().map(|id| NodeId::parse(id).unwrap()).collect();
    Node::new(NodeId::parse(id).unwrap(), Arc::new(op), inputs)
}

/// A block that is added to its own input, then an output that takes the sum with itself.
fn residual() -> Network {
    let nodes = vec![
        node("below", Linear { out: 5 }, &["input"]),
        node("branch", Linear { out: 5 }, &["below"]),
        node("branch_relu", Relu, &["branch"]),
        node("sum", Add, &["below", "branch_relu"]),
        node("double", Add, &["sum", "sum"]),
        node("output", Linear { out: 3 }, &["double"]),
    ];
    Network::new(Shape::flat(4), nodes).unwrap()
}

fn normals(count: usize, key: &str) -> Vec<f32> {
    let mut random = Random::keyed(1, Purpose::Probe, 0, key);
    (0..count).map(|_| random.normal() as f32).collect()
}

/// Parameters none of which has a special value: initial ones, moved; running variances stay positive.
fn parameters(network: &Network) -> Parameters {
    let mut parameters = initialize(network, 2, &Device::Cpu).unwrap();
    for (id, value) in &mut parameters {
        let moved = Tensor::from_vec(normals(value.elem_count(), id.as_str()), value.shape(), &Device::Cpu).unwrap();
        let by = if id.as_str().ends_with("running_variance") { moved.abs() } else { moved * 0.2 };
        *value = (&*value + by.unwrap()).unwrap();
    }
    parameters
}

fn batch(network: &Network, rows: usize) -> (Tensor, ReferenceBatch) {
    let values = normals(rows * network.input().elements(), "batch");
    let wide = values.iter().copied().map(f64::from).collect();
    let tensor = Tensor::from_vec(values, network.input().batched(rows), &Device::Cpu).unwrap();
    (tensor, ReferenceBatch { rows, shape: network.input().clone(), values: wide })
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference between the forward pass and the reference, relative to the largest output.
fn difference(network: &Network, rows: usize, mode: Mode) -> f64 {
    let parameters = parameters(network);
    let (tensor, wide) = batch(network, rows);
    let ours = numbers(&forward(network, &parameters, &tensor, mode).unwrap().output);
    let theirs = reference::evaluate(network, &reference::widen(&parameters).unwrap(), &wide, mode).unwrap();
    assert_eq!((ours.len(), &theirs.shape), (theirs.values.len(), network.output_shape()));
    let scale = theirs.values.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    let pairs = ours.iter().zip(&theirs.values);
    pairs.fold(0.0, |largest: f64, (ours, theirs)| largest.max((f64::from(*ours) - theirs).abs())) / scale
}

/// The mean cross-entropy of the reference's outputs in f64.
fn reference_loss(output: &ReferenceBatch, classes: &[u32]) -> f64 {
    let rows = output.values.chunks_exact(output.shape.elements()).zip(classes);
    let losses = rows.map(|(row, &class)| row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[class as usize]);
    losses.sum::<f64>() / classes.len() as f64
}

/// Holds every parameter's gradient against central differences of the reference's loss.
fn check_gradients(network: &Network, rows: usize, mode: Mode) {
    const STEP: f64 = 1e-6;
    let parameters = parameters(network);
    let (tensor, wide) = batch(network, rows);
    let outputs = network.output_shape().elements();
    let classes: Vec<u32> = (0..rows).map(|row| (row * 7 % outputs) as u32).collect();
    let pass = forward(network, &parameters, &tensor, mode).unwrap();
    let (_, gradient) = of_tensor(&pass.output, |logits| cross_entropy(logits, &classes)).unwrap();
    let gradients = backward(network, &parameters, pass, &gradient).unwrap();

    let mut moved = reference::widen(&parameters).unwrap();
    let trained: BTreeMap<_, _> =
        network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained).collect();
    assert!(gradients.keys().eq(trained.keys()), "exactly the trained parameters have gradients");
    for (id, gradient) in &gradients {
        let gradient = numbers(gradient);
        let scale = gradient.iter().fold(1e-2, |largest: f64, &value| largest.max(f64::from(value).abs()));
        let stride = gradient.len().div_ceil(9);
        for at in (0..gradient.len()).step_by(stride) {
            let mut loss_at = |shift: f64| {
                let kept = moved[id][at];
                moved.get_mut(id).unwrap()[at] = kept + shift;
                let output = reference::evaluate(network, &moved, &wide, mode).unwrap();
                moved.get_mut(id).unwrap()[at] = kept;
                reference_loss(&output, &classes)
            };
            let expected = (loss_at(STEP) - loss_at(-STEP)) / (2.0 * STEP);
            let found = f64::from(gradient[at]);
            assert!((found - expected).abs() < 1e-3 * scale, "{id}[{at}]: {found}, by differences {expected}");
        }
    }
}

#[test]
fn gradients_of_an_mlp_agree_with_differences_of_the_reference() {
    check_gradients(&mlp(&[7, 5], 0.0, &Shape::flat(6), 3), 5, TRAIN);
}

#[test]
fn gradients_of_an_mlp_with_dropout_over_an_image_agree_with_differences_of_the_reference() {
    check_gradients(&mlp(&[9, 11], 0.3, &Shape::image(2, 3, 5), 4), 7, TRAIN);
}

#[test]
fn gradients_of_a_cnn_agree_with_differences_of_the_reference() {
    check_gradients(&cnn(&[3, 5, 4], &Shape::image(2, 9, 7), 3), 5, TRAIN);
}

#[test]
fn gradients_of_a_node_that_is_used_several_times_add_up() {
    check_gradients(&residual(), 6, TRAIN);
}

#[test]
fn the_residual_network_computes_the_same_as_the_reference() {
    assert!(difference(&residual(), 5, Mode::Evaluate) < 1e-5);
    assert!(difference(&residual(), 5, TRAIN) < 1e-5);
}

proptest! {
    #[test]
    fn an_mlp_of_any_size_computes_the_same_as_the_reference(
        (features, outputs, rows) in (1usize..23, 1usize..9, 1usize..9),
        hidden in proptest::collection::vec(1usize..19, 0..4),
        dropped: bool,
    ) {
        let dropout = if dropped { 0.4 } else { 0.0 };
        let network = mlp(&hidden, dropout, &Shape::flat(features), outputs);
        prop_assert!(difference(&network, rows, Mode::Evaluate) < 1e-5);
        prop_assert!(difference(&network, rows, TRAIN) < 1e-5);
    }

    #[test]
    fn a_cnn_of_any_size_computes_the_same_as_the_reference(
        (planes, height, width) in (1usize..4, 1usize..12, 1usize..12),
        channels in proptest::collection::vec(1usize..6, 1..4),
        (outputs, rows) in (1usize..5, 1usize..5),
    ) {
        let network = cnn(&channels, &Shape::image(planes, height, width), outputs);
        prop_assert!(difference(&network, rows, Mode::Evaluate) < 1e-5);
        // Batch statistics of a few nearly equal numbers magnify f32 rounding.
        prop_assert!(difference(&network, rows, TRAIN) < 1e-3);
    }

    #[test]
    fn every_row_is_evaluated_on_its_own(rows in 2usize..9) {
        let network = cnn(&[3], &Shape::image(1, 5, 5), 4);
        let parameters = parameters(&network);
        let (tensor, _) = batch(&network, rows);
        let together = numbers(&evaluate(&network, &parameters, &tensor).unwrap());
        for row in 0..rows {
            let alone = evaluate(&network, &parameters, &tensor.narrow(0, row, 1).unwrap()).unwrap();
            for (alone, together) in numbers(&alone).iter().zip(&together[row * 4..]) {
                prop_assert!((alone - together).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn a_pass_gives_the_same_bits_every_time_and_dropout_follows_the_step() {
    let network = mlp(&[33], 0.5, &Shape::flat(9), 4);
    let parameters = parameters(&network);
    let (tensor, _) = batch(&network, 6);
    let output = |mode| numbers(&forward(&network, &parameters, &tensor, mode).unwrap().output);
    assert_eq!(output(TRAIN), output(TRAIN));
    assert_eq!(output(Mode::Evaluate), output(Mode::Evaluate));
    assert_ne!(output(TRAIN), output(Mode::Train { seed: 11, step: 4 }));
    assert_ne!(output(TRAIN), output(Mode::Evaluate));
}

#[test]
fn only_a_training_pass_measures_statistics_and_can_go_backward() {
    let network = cnn(&[3, 2], &Shape::image(1, 5, 5), 2);
    let parameters = parameters(&network);
    let (tensor, _) = batch(&network, 3);
    let trained = forward(&network, &parameters, &tensor, TRAIN).unwrap();
    let measured: Vec<&str> = trained.statistics.keys().map(ParameterId::as_str).collect();
    let norm = |node: &str| [format!("{node}/running_mean"), format!("{node}/running_variance")];
    assert_eq!(measured, [norm("conv1_norm"), norm("conv2_norm")].concat());
    let evaluated = forward(&network, &parameters, &tensor, Mode::Evaluate).unwrap();
    assert!(evaluated.statistics.is_empty());
    let gradient = evaluated.output.clone();
    assert!(matches!(backward(&network, &parameters, evaluated, &gradient), Err(NetworkError::Batch(_))));
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let network = mlp(&[4], 0.0, &Shape::flat(3), 2);
    let mut parameters = parameters(&network);
    let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
    for dims in [&[2, 4][..], &[0, 3], &[3], &[2, 3, 1]] {
        assert!(matches!(evaluate(&network, &parameters, &zeros(dims)), Err(NetworkError::Batch(_))), "{dims:?}");
    }
    let pass = forward(&network, &parameters, &zeros(&[2, 3]), TRAIN).unwrap();
    assert!(backward(&network, &parameters, pass, &zeros(&[2, 1])).is_err());
    let short = ReferenceBatch { rows: 2, shape: Shape::flat(3), values: vec![0.0; 5] };
    let wide = reference::widen(&parameters).unwrap();
    assert!(matches!(reference::evaluate(&network, &wide, &short, TRAIN), Err(NetworkError::Batch(_))));

    parameters.insert(ParameterId::from_stored("output/bias"), zeros(&[3]));
    let error = evaluate(&network, &parameters, &zeros(&[2, 3])).unwrap_err().to_string();
    assert_eq!(error, "node output: its bias has the shape [3] instead of [2]");
    parameters.remove(&ParameterId::from_stored("output/bias"));
    let error = evaluate(&network, &parameters, &zeros(&[2, 3])).unwrap_err().to_string();
    assert_eq!(error, "node output: its parameter `bias` is missing");
    let wide = reference::widen(&parameters).unwrap();
    let batch = ReferenceBatch { rows: 1, shape: Shape::flat(3), values: vec![0.0; 3] };
    assert!(reference::evaluate(&network, &wide, &batch, TRAIN).unwrap_err().to_string().contains("`bias`"));
}

#[test]
fn built_networks_read_back_from_their_documents() {
    let image = Shape::image(2, 9, 7);
    for network in [mlp(&[7, 5], 0.3, &image, 3), cnn(&[3, 4], &image, 3), residual()] {
        let document = serde_json::to_value(&network).unwrap();
        let back: Network = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(back, network);
        assert_eq!(serde_json::to_value(&back).unwrap(), document);
    }
}

/// Trains on one batch and gives the mean loss before the first and after the last step.
fn train(network: &Network, optimizer: Optimizer, inputs: &Tensor, targets: &[f32]) -> (f64, f64) {
    let mut parameters = initialize(network, 4, &Device::Cpu).unwrap();
    let roles = |spec: &ParameterSpec, wanted: fn(&AxisRole) -> bool| spec.axes.iter().position(wanted);
    let mut moments = BTreeMap::new();
    for (id, spec) in network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained) {
        let out = roles(spec, |role| *role == AxisRole::Out);
        let inputs = roles(spec, |role| matches!(role, AxisRole::In { .. }));
        moments.insert(id.clone(), optimizer.moments(&parameters[&id], out, inputs, 0).unwrap());
    }
    let mut means = Vec::new();
    for step in 1..=400 {
        let pass = forward(network, &parameters, inputs, Mode::Train { seed: 1, step }).unwrap();
        let (mean, gradient) = of_tensor(&pass.output, |outputs| squared_error(outputs, targets)).unwrap();
        means.push(mean);
        for (id, gradient) in backward(network, &parameters, pass, &gradient).unwrap() {
            let moments = moments.get_mut(&id).unwrap();
            let updated = optimizer.update(&parameters[&id], &gradient, moments, step, &Rate::constant(0.02)).unwrap();
            parameters.insert(id, updated);
        }
    }
    (means[0], means[means.len() - 1])
}

#[test]
fn every_optimizer_teaches_a_network_the_exclusive_or() {
    let network = mlp(&[16], 0.0, &Shape::flat(2), 1);
    let inputs = Tensor::new(&[[0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &Device::Cpu).unwrap();
    for optimizer in [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP] {
        let (before, after) = train(&network, optimizer, &inputs, &[0.0, 1.0, 1.0, 0.0]);
        assert!(before > 0.1 && after < 0.01, "{optimizer:?}: {before} {after}");
    }
}
