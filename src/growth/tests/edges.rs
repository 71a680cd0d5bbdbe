//! The edges of a network: new inputs and new classes.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::op::ReferenceBatch;
use crate::network::ops::add::Add;
use crate::network::ops::batch_norm::BatchNorm;
use crate::network::ops::layer_norm::LayerNorm;
use crate::network::ops::linear::Linear;
use crate::network::ops::relu::Relu;
use crate::network::ops::split;
use crate::network::reference;
use crate::network::{Mode, Network, Shape};

const INPUTS: GrowthRequest = GrowthRequest::Inputs { add: 2 };

#[test]
fn new_inputs_are_zero_columns_at_the_end() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, certificate) = grow(&network, &before, &INPUTS);
    assert_eq!(plan.student().input(), &Shape::flat(7));
    let old = numbers(&before, "hidden1/weight");
    for (old, new) in old.chunks(5).zip(numbers(&after, "hidden1/weight").chunks(7)) {
        assert_eq!((&new[..5], &new[5..]), (old, &[0.0, 0.0][..]));
    }
    assert_eq!((certificate.max_abs_diff, certificate.limit, certificate.preserved), (0.0, 0.0, true));
}

#[test]
fn every_consumer_of_the_input_grows_in_the_middle_of_a_concatenation_too() {
    let network = branching();
    let (plan, after, certificate) = grow(&network, &state(&network, &Optimizer::ADAM), &INPUTS);
    assert!(certificate.preserved, "{certificate:?}");
    assert_eq!(width(plan.student(), "all"), width(&network, "all") + 2);
    for row in numbers(&after, "output/weight").chunks(width(plan.student(), "all")) {
        assert_eq!(row[5 + 4..5 + 4 + 2], [0.0, 0.0], "behind `sum2` and the old inputs");
    }
}

#[test]
fn a_norm_on_the_input_starts_new_channels_as_its_op_declares() {
    let nodes = vec![node("norm", BatchNorm::default(), &["input"]), node("output", Linear { out: 2 }, &["norm"])];
    let network = Network::new(Shape::flat(3), nodes).unwrap();
    let (_, after, certificate) = grow(&network, &state(&network, &Optimizer::ADAM), &INPUTS);
    assert!(certificate.preserved);
    assert_eq!(numbers(&after, "norm/running_variance")[3..], [1.0, 1.0]);
    assert_eq!(numbers(&after, "norm/shift")[3..], [0.0, 0.0]);
}

#[test]
fn inputs_that_are_an_image_or_summed_do_not_grow() {
    let image = refusal(&cnn(&[2]), &INPUTS);
    assert!(matches!(&image, Refusal::Node { reason, .. } if reason.contains("image")), "{image:?}");
    let nodes = vec![
        node("below", Linear { out: 3 }, &["input"]),
        node("sum", Add, &["below", "input"]),
        node("output", Linear { out: 2 }, &["sum"]),
    ];
    let summed = Network::new(Shape::flat(3), nodes).unwrap();
    assert!(matches!(refusal(&summed, &INPUTS), Refusal::Node { reason, .. } if reason.contains("summed")));
    let wide = wider(&["below"], Extent::To(5), Split::Replicate);
    assert!(matches!(refusal(&summed, &wide), Refusal::Node { reason, .. } if reason.contains("network's inputs")));
    let unchanged = Network::new(Shape::flat(3), vec![node("output", Relu, &["input"])]).unwrap();
    assert!(matches!(refusal(&unchanged, &INPUTS), Refusal::Node { reason, .. } if reason.contains("output")));
    let nodes = vec![node("norm", LayerNorm::default(), &["input"]), node("output", Linear { out: 2 }, &["norm"])];
    let across = Network::new(Shape::flat(3), nodes).unwrap();
    assert!(matches!(refusal(&across, &INPUTS), Refusal::Node { node, .. } if node == id("norm")));
    let nodes = vec![
        node("first", split::Split { start: 0, end: 2 }, &["input"]),
        node("last", split::Split { start: 2, end: 4 }, &["input"]),
        node("sum", Add, &["first", "last"]),
        node("output", Linear { out: 2 }, &["sum"]),
    ];
    let halves = Network::new(Shape::flat(4), nodes).unwrap();
    assert!(matches!(refusal(&halves, &INPUTS), Refusal::Node { reason, .. } if reason.contains("summed")));
    assert!(matches!(refusal(&mlp(&[2]), &GrowthRequest::Inputs { add: 0 }), Refusal::Request { .. }));
    assert!(plan(&mlp(&[2]), &GrowthRequest::Inputs { add: usize::MAX }, 1).is_err());
}

#[test]
fn new_classes_take_at_most_epsilon_together_and_old_logits_stay() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let rows = normals(5 * 40, "classes");
    let batch = ReferenceBatch { rows: 40, shape: Shape::flat(5), values: rows.into_iter().map(f64::from).collect() };
    let logits = |network: &Network, state: &State| {
        let wide = reference::widen(&state.parameters).unwrap();
        reference::evaluate(network, &wide, &batch, Mode::Evaluate).unwrap().values
    };
    let log_sum_exp = |row: &[f64]| row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    let old = logits(&network, &before);
    let smallest = old.chunks(3).map(log_sum_exp).fold(f64::INFINITY, f64::min);
    let request = GrowthRequest::Classes { add: 4, epsilon: 1e-2, log_sum_exp: smallest };
    let (plan, after, certificate) = grow(&network, &before, &request);
    assert_eq!((certificate.max_abs_diff, certificate.limit, certificate.preserved), (0.0, 0.0, true));
    let new = logits(plan.student(), &after);
    let mut largest = 0.0f64;
    for (old, new) in old.chunks(3).zip(new.chunks(7)) {
        assert_eq!(old, &new[..3]);
        largest = largest.max((log_sum_exp(&new[3..]) - log_sum_exp(new)).exp());
    }
    assert!(largest <= 1e-2 && largest > 0.9e-2, "{largest}");
}

#[test]
fn classes_that_make_no_sense_are_refused() {
    let classes = |add, epsilon, log_sum_exp| GrowthRequest::Classes { add, epsilon, log_sum_exp };
    for request in [
        classes(0, 0.1, 0.0),
        classes(1, 0.0, 0.0),
        classes(1, 1.0, 0.0),
        classes(1, f64::NAN, 0.0),
        classes(1, 0.1, f64::NAN),
        classes(1, 0.1, f64::INFINITY),
    ] {
        assert!(matches!(refusal(&mlp(&[2]), &request), Refusal::Request { .. }), "{request:?}");
    }
    let nodes = vec![
        node("a", Linear { out: 3 }, &["input"]),
        node("b", Linear { out: 3 }, &["input"]),
        node("sum", Add, &["a", "b"]),
    ];
    let summed = Network::new(Shape::flat(3), nodes).unwrap();
    assert!(matches!(refusal(&summed, &classes(1, 0.1, 0.0)), Refusal::Node { .. }));
    assert!(plan(&mlp(&[2]), &classes(usize::MAX, 0.1, 0.0), 1).is_err());
}
