//! Deepenings: where the new layer stands and what it holds.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::linear::Linear;
use crate::network::ops::max_pool::MaxPool;
use crate::network::ops::relu::Relu;
use crate::network::{Network, NodeId, Shape};

fn inputs(network: &Network, node: &str) -> Vec<String> {
    network.node(&id(node)).unwrap().inputs.iter().map(NodeId::to_string).collect()
}

fn certified(network: &Network, request: &GrowthRequest) -> (Plan, State) {
    let (plan, grown, certificate) = grow(network, &state(network, &Optimizer::ADAM), request);
    assert!(certificate.preserved, "{certificate:?}");
    assert!(certificate.train_max_rel_diff.unwrap() <= 1e-12, "exact in training mode too: {certificate:?}");
    (plan, grown)
}

#[test]
fn an_identity_layer_stands_behind_the_activation_with_one_of_its_own() {
    let (plan, grown) = certified(&mlp(&[3, 2]), &deeper(&["hidden1"], DeeperKind::Identity));
    assert_eq!(inputs(plan.student(), "hidden1_deeper1"), ["hidden1_relu"]);
    assert_eq!(inputs(plan.student(), "hidden1_deeper1_relu"), ["hidden1_deeper1"]);
    assert_eq!(inputs(plan.student(), "hidden2"), ["hidden1_deeper1_relu"]);
    assert_eq!(numbers(&grown, "hidden1_deeper1/weight"), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(numbers(&grown, "hidden1_deeper1/bias"), [0.0; 3]);
    let new: Vec<&str> = plan.touched.iter().map(|touched| touched.node.as_str()).collect();
    assert_eq!(new, ["hidden1_deeper1", "hidden1_deeper1_relu"]);
    assert!(plan.touched.iter().all(|touched| touched.shape_before.is_none() && touched.parameters_before == 0));
}

#[test]
fn an_identity_kernel_is_one_in_its_middle_and_no_norm_is_inserted() {
    let (plan, grown) = certified(&cnn(&[2]), &deeper(&["conv1"], DeeperKind::Identity));
    assert_eq!(inputs(plan.student(), "conv1_deeper1"), ["conv1_relu"]);
    assert_eq!(inputs(plan.student(), "conv1_pool"), ["conv1_deeper1_relu"]);
    let weight = numbers(&grown, "conv1_deeper1/weight");
    let ones: Vec<usize> = (0..weight.len()).filter(|&index| weight[index] == 1.0).collect();
    assert_eq!((weight.len(), ones), (36, vec![4, 9 * 3 + 4]));
    assert_eq!(weight.iter().sum::<f32>(), 2.0);
}

#[test]
fn new_names_are_never_used_twice() {
    let network = mlp(&[3]);
    let (first, state, _) =
        grow(&network, &state(&network, &Optimizer::ADAM), &deeper(&["hidden1"], DeeperKind::Identity));
    let (second, state, _) = grow(first.student(), &state, &deeper(&["hidden1"], DeeperKind::Residual));
    let (third, _, _) = grow(second.student(), &state, &deeper(&["hidden1_deeper1"], DeeperKind::Identity));
    let names: Vec<&str> = third.student().nodes().iter().map(|node| node.id.as_str()).collect();
    let expected = "hidden1 hidden1_relu hidden1_deeper2 hidden1_deeper2_relu hidden1_deeper2_out hidden1_deeper2_add \
                    hidden1_deeper1 hidden1_deeper1_relu hidden1_deeper3 hidden1_deeper3_relu output";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn a_residual_branch_is_random_but_for_its_last_layer() {
    let (plan, grown) = certified(&residual(), &deeper(&["b_outer"], DeeperKind::Residual));
    assert_eq!(inputs(plan.student(), "b_outer_deeper1_add"), ["end", "b_outer_deeper1_out"]);
    assert_eq!(inputs(plan.student(), "output"), ["b_outer_deeper1_add"]);
    assert!(numbers(&grown, "b_outer_deeper1/weight").iter().all(|weight| *weight != 0.0));
    for name in ["weight", "bias"] {
        assert!(numbers(&grown, &format!("b_outer_deeper1_out/{name}")).iter().all(|weight| *weight == 0.0));
    }
}

#[test]
fn a_residual_block_stands_behind_a_layer_without_activation() {
    let nodes = vec![node("below", Linear { out: 4 }, &["input"]), node("output", Linear { out: 2 }, &["below"])];
    let network = Network::new(Shape::flat(3), nodes).unwrap();
    certified(&network, &deeper(&["below"], DeeperKind::Residual));
    let Refusal::Node { node, reason } = refusal(&network, &deeper(&["below"], DeeperKind::Identity)) else { panic!() };
    assert_eq!(node, id("below"));
    assert!(reason.contains("may be negative"), "{reason}");
}

#[test]
fn non_negative_values_are_proven_through_what_keeps_them() {
    let nodes = vec![
        node("conv", Conv2d::same(2, [3, 3]), &["input"]),
        node("conv_relu", Relu, &["conv"]),
        node("pool", MaxPool::unpadded([2, 2], [2, 2]), &["conv_relu"]),
        node("raw", MaxPool::unpadded([2, 2], [2, 2]), &["conv"]),
        node("sum", crate::network::ops::add::Add, &["pool", "raw"]),
        node("flatten", crate::network::ops::flatten::Flatten, &["sum"]),
        node("output", Linear { out: 2 }, &["flatten"]),
    ];
    let network = Network::new(Shape::image(1, 4, 4), nodes).unwrap();
    let (plan, _) = certified(&network, &deeper(&["pool"], DeeperKind::Identity));
    assert_eq!(inputs(plan.student(), "sum"), ["pool_deeper1_relu", "raw"]);
    for at in ["raw", "sum", "flatten"] {
        assert!(matches!(refusal(&network, &deeper(&[at], DeeperKind::Identity)), Refusal::Node { .. }), "{at}");
        certified(&network, &deeper(&[at], DeeperKind::Residual));
    }
}

#[test]
fn all_puts_a_layer_behind_every_hidden_layer_that_takes_one_and_skips_the_output() {
    let all = |kind| GrowthRequest::Deeper(Deeper::plain(Nodes::All, kind));
    let (plan, _) = certified(&mlp(&[3, 2]), &all(DeeperKind::Identity));
    assert_eq!(plan.student().summary(), "5-3-3-2-2-3");
    let (plan, _) = certified(&residual(), &all(DeeperKind::Identity));
    let places: Vec<String> =
        plan.steps[0].fills.keys().map(ToString::to_string).filter(|name| name.ends_with("weight")).collect();
    assert_eq!(places, ["a_inner_deeper1/weight", "b_outer_deeper1/weight"], "the others end before an activation");
    assert!(matches!(refusal(&mlp(&[]), &all(DeeperKind::Residual)), Refusal::Node { .. }));
}

#[test]
fn a_deeper_layer_can_then_be_widened() {
    let network = mlp(&[3]);
    let (plan, state, _) =
        grow(&network, &state(&network, &Optimizer::ADAM), &deeper(&["hidden1"], DeeperKind::Identity));
    let request = wider(&["hidden1_deeper1"], Extent::To(7), Split::Replicate);
    let (wide, _, certificate) = grow(plan.student(), &state, &request);
    assert_eq!((wide.student().summary().as_str(), certificate.preserved), ("5-3-7-3", true));
}
