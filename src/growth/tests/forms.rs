//! The forms of a deepening (norms, widths, activations that need care) and the baselines that preserve nothing.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::leaky_relu::LeakyRelu;
use crate::network::ops::linear::Linear;
use crate::network::ops::maxout::Maxout;
use crate::network::ops::prelu::Prelu;
use crate::network::ops::tanh::Tanh;
use crate::network::{Network, Op, Shape};

fn request(after: &str, kind: DeeperKind, norm: NewNorm, width: Option<Extent>) -> GrowthRequest {
    GrowthRequest::Deeper(Deeper { after: Nodes::These(vec![id(after)]), kind, norm, width })
}

fn grown(network: &Network, request: &GrowthRequest) -> (Plan, State, Certificate) {
    grow(network, &state(network, &Optimizer::ADAM), request)
}

/// `hidden` with this activation, or none, between input and output.
fn around(activation: Option<&str>, hidden: impl Op, then: impl Op) -> Network {
    let mut nodes = vec![node("hidden", hidden, &["input"])];
    let last = activation.unwrap_or("hidden");
    if activation.is_some() {
        nodes.push(node(last, then, &["hidden"]));
    }
    nodes.push(node("output", Linear { out: 3 }, &[last]));
    Network::new(Shape::flat(4), nodes).unwrap()
}

#[test]
fn a_prelu_behind_an_identity_has_slope_one_and_leaves_negative_values_alone() {
    let network = around(Some("prelu"), Linear { out: 5 }, Prelu);
    let (_, state, certificate) = grown(&network, &deeper(&["hidden"], DeeperKind::Identity));
    assert_eq!(numbers(&state, "hidden_deeper1_prelu/slope"), [1.0; 5]);
    assert!(certificate.preserved && certificate.max_rel_diff <= 1e-12, "{certificate:?}");
}

#[test]
fn a_maxout_behind_a_maxout_is_an_identity_in_every_piece() {
    let network = around(None, Maxout { out: 4, pieces: 3 }, Prelu);
    let (plan, state, certificate) = grown(&network, &deeper(&["hidden"], DeeperKind::Identity));
    assert!(certificate.preserved && certificate.max_rel_diff <= 1e-12, "{certificate:?}");
    let new = plan.student().node(&id("hidden_deeper1")).unwrap();
    assert_eq!(new.op.kind(), "maxout");
    let weight = numbers(&state, "hidden_deeper1/weight");
    assert_eq!((weight.len(), weight.iter().sum::<f32>()), (4 * 3 * 4, 12.0));
    assert_eq!(plan.student().nodes().len(), 3, "it has its activation in itself");
}

#[test]
fn an_activation_that_bends_what_may_come_is_no_place_for_an_identity() {
    for network in [
        around(Some("leaky"), Linear { out: 5 }, LeakyRelu { slope: 0.1 }),
        around(Some("tanh"), Linear { out: 5 }, Tanh),
    ] {
        let identity = deeper(&["hidden"], DeeperKind::Identity);
        let Refusal::Node { node, reason } = refusal(&network, &identity) else { panic!() };
        assert!(node == id("hidden") && reason.contains("negative") && reason.contains("residual"), "{reason}");
        let (_, _, certificate) = grown(&network, &deeper(&["hidden"], DeeperKind::Residual));
        assert!(certificate.preserved && certificate.max_rel_diff == 0.0);
    }
}

#[test]
fn an_inserted_batch_norm_undoes_itself_in_evaluation_and_says_that_training_differs() {
    let cnn = cnn(&[3, 2]);
    for (network, after) in [(&cnn, "conv1"), (&cnn, "conv2"), (&mlp(&[4, 3]), "hidden1")] {
        let (plan, state, certificate) = grown(network, &request(after, DeeperKind::Identity, NewNorm::Batch, None));
        assert_eq!(plan.preserves, Preserves::Evaluation);
        assert!(certificate.preserved && certificate.max_rel_diff <= 1e-6, "{certificate:?}");
        assert!(certificate.max_rel_diff > 0.0, "scale and shift are kept in f32: {certificate:?}");
        assert!(certificate.train_limit.is_none() && certificate.train_max_rel_diff.is_some_and(|diff| diff > 1e-5));
        let number = |name: &str| numbers(&state, &format!("{after}_deeper1_norm/{name}"));
        assert_eq!(number("shift"), number("running_mean"));
        for (scale, variance) in number("scale").iter().zip(number("running_variance")) {
            assert!((scale * scale - (variance + 1e-5)).abs() <= 1e-6 * scale * scale);
        }
        assert!(number("running_mean").iter().any(|mean| *mean > 0.01), "the statistics are those of data");
    }
}

#[test]
fn a_plan_with_norms_is_measured_before_it_is_applied() {
    let network = mlp(&[4]);
    let state = state(&network, &Optimizer::ADAM);
    let plan = plan(&network, &request("hidden1", DeeperKind::Identity, NewNorm::Batch, None), 5).unwrap();
    assert!(matches!(apply(&plan, &network, &state, &Optimizer::ADAM), Err(GrowthError::NotMeasured)));
    let measured = measure(plan.clone(), &network, &state.parameters, &probe(&network)).unwrap();
    let stored: Plan = serde_json::from_str(&serde_json::to_string(&measured).unwrap()).unwrap();
    let one = apply(&measured, &network, &state, &Optimizer::ADAM).unwrap();
    let other = apply(&stored, &network, &state, &Optimizer::ADAM).unwrap();
    for name in one.parameters.keys() {
        assert_eq!(numbers(&one, name.as_str()), numbers(&other, name.as_str()), "{name}");
    }
}

#[test]
fn a_residual_branch_with_a_norm_is_exact_in_training_too() {
    let (plan, _, certificate) = grown(&cnn(&[3, 2]), &request("conv1", DeeperKind::Residual, NewNorm::Batch, None));
    assert_eq!(plan.preserves, Preserves::Bits);
    assert_eq!((certificate.max_rel_diff, certificate.train_max_rel_diff), (0.0, Some(0.0)));
}

#[test]
fn a_new_layer_may_be_wider_than_what_it_stands_behind() {
    for (network, after, channels) in [(mlp(&[4, 3]), "hidden1", 4), (cnn(&[3, 2]), "conv1", 3)] {
        for (extent, width_after) in [(Extent::To(7), 7), (Extent::Factor(2.0), 2 * channels)] {
            let new = format!("{after}_deeper1");
            let (plan, _, certificate) =
                grown(&network, &request(after, DeeperKind::Identity, NewNorm::None, Some(extent)));
            assert!(certificate.preserved && certificate.max_rel_diff <= 1e-12, "{certificate:?}");
            assert_eq!((width(plan.student(), after), width(plan.student(), &new)), (channels, width_after));
            assert_eq!(plan.steps.len(), 2, "Net2WiderNet after Net2DeeperNet");
            let (plan, _, certificate) =
                grown(&network, &request(after, DeeperKind::Residual, NewNorm::Batch, Some(extent)));
            assert_eq!(certificate.max_rel_diff, 0.0);
            assert_eq!(width(plan.student(), &new), width_after);
            assert_eq!(width(plan.student(), &format!("{new}_out")), channels);
        }
        let narrower = request(after, DeeperKind::Residual, NewNorm::None, Some(Extent::To(2)));
        assert!(matches!(refusal(&network, &narrower), Refusal::Node { .. }));
    }
}

#[test]
fn a_new_layer_that_cannot_be_wider_is_refused_in_the_name_of_the_node_that_was_named() {
    let nodes = vec![
        node("free", Maxout { out: 4, pieces: 2 }, &["input"]),
        node("tied", Maxout { out: 4, pieces: 2 }, &["free"]),
        node("sum", crate::network::ops::add::Add, &["input", "tied"]),
        node("output", Linear { out: 2 }, &["sum"]),
    ];
    let network = Network::new(Shape::flat(4), nodes).unwrap();
    let after = Nodes::These(vec![id("free"), id("tied")]);
    let width = Some(Extent::Factor(2.0));
    let request = GrowthRequest::Deeper(Deeper { width, ..Deeper::plain(after, DeeperKind::Identity) });
    let Refusal::Node { node, reason } = refusal(&network, &request) else { panic!() };
    assert!(node == id("tied") && reason.contains("cannot be wider"), "{node}: {reason}");
}

#[test]
fn a_new_convolution_has_the_kernel_of_the_one_that_it_stands_behind() {
    let nodes = vec![
        node("vertical", Conv2d::same(2, [3, 1]), &["input"]),
        node("relu", crate::network::ops::relu::Relu, &["vertical"]),
        node("point", Conv2d::same(2, [1, 1]), &["relu"]),
        node("relu2", crate::network::ops::relu::Relu, &["point"]),
        node("flatten", Flatten, &["relu2"]),
        node("output", Linear { out: 2 }, &["flatten"]),
    ];
    let network = Network::new(Shape::image(1, 4, 4), nodes).unwrap();
    let (plan, _, certificate) = grown(&network, &deeper(&["vertical", "point"], DeeperKind::Identity));
    assert!(certificate.preserved);
    let kernel = |name: &str| plan.student().node(&id(name)).unwrap().op.document()["kernel"].clone();
    assert_eq!(kernel("vertical_deeper1"), serde_json::json!([3, 1]));
    assert_eq!(kernel("point_deeper1"), serde_json::json!([3, 3]), "a kernel of one position sees nothing new");
}

#[test]
fn baselines_are_plans_that_promise_nothing_and_are_found_out() {
    let network = mlp(&[4, 3]);
    let pad = grown(&network, &wider_all(2.0, Split::RandomPad));
    let random = grown(&network, &deeper(&["hidden1"], DeeperKind::Random));
    for (plan, _, certificate) in [&pad, &random] {
        assert_eq!(plan.preserves, Preserves::Nothing);
        assert!(!certificate.preserved && certificate.max_rel_diff > 1e-3, "{certificate:?}");
    }
    let preserving = plan(&network, &wider_all(2.0, Split::Replicate), 5).unwrap();
    assert_eq!(pad.0.parameters_after, preserving.parameters_after, "of the same size as what they are compared with");
    let weight = numbers(&pad.1, "hidden2/weight");
    assert!(weight.iter().all(|number| *number != 0.0), "random in and out");
    let before = numbers(&state(&network, &Optimizer::ADAM), "hidden2/weight");
    assert_eq!(weight[..4], before[..4], "old weights are kept");
}

#[test]
fn a_pattern_names_every_node_that_fits_and_can() {
    let network = mlp(&[4, 3]);
    let matching = |pattern: &str| Nodes::Matching(pattern.into());
    let wide = |pattern: &str| {
        let (extent, split) = (Extent::Factor(2.0), Split::Replicate);
        plan(&network, &GrowthRequest::Wider(Wider { nodes: matching(pattern), extent, split }), 5)
    };
    assert_eq!(wide("hidden*").unwrap().student().summary(), "5-8-6-3");
    assert_eq!(wide("*2").unwrap().student().summary(), "5-4-6-3");
    let Err(Refusal::Request { reason }) = wide("conv*") else { panic!() };
    assert!(reason.contains("hidden1, hidden2"), "{reason}");
    let deep = GrowthRequest::Deeper(Deeper::plain(matching("*1"), DeeperKind::Identity));
    assert_eq!(plan(&network, &deep, 5).unwrap().student().summary(), "5-4-4-3-3");
}
