//! What cannot be done, said as data.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::Network;

fn reason(network: &Network, request: &GrowthRequest, at: &str) -> String {
    match refusal(network, request) {
        Refusal::Node { node, reason } if node.as_str() == at => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_node_is_refused_with_the_ids_that_can_be_named() {
    let (wide, deep) = (wider(&["x"], Extent::To(9), Split::Replicate), deeper(&["x"], DeeperKind::Identity));
    for request in [wide, deep] {
        let expected = Refusal::UnknownNode { node: "x".into(), known: vec![id("hidden1"), id("hidden2")] };
        assert_eq!(refusal(&mlp(&[3, 2]), &request), expected);
    }
}

#[test]
fn nodes_that_make_no_channels_name_those_that_do() {
    let wide = |name| wider(&[name], Extent::Factor(2.0), Split::Replicate);
    assert!(reason(&mlp(&[3]), &wide("hidden1_relu"), "hidden1_relu").contains("hidden1"));
    assert!(reason(&residual(), &wide("a_sum"), "a_sum").contains("stem, a_outer, b_outer"));
    assert!(reason(&mlp(&[3]), &wide("input"), "input").contains("`inputs`"));
    assert!(reason(&mlp(&[3]), &deeper(&["input"], DeeperKind::Residual), "input").contains("input"));
}

#[test]
fn the_outputs_are_not_widened_nor_followed_by_a_layer() {
    let wide = wider(&["output"], Extent::Factor(2.0), Split::Fresh);
    assert!(reason(&mlp(&[3]), &wide, "output").contains("`classes`"));
    for kind in [DeeperKind::Identity, DeeperKind::Residual] {
        assert!(reason(&mlp(&[3]), &deeper(&["output"], kind), "output").contains("outputs"));
    }
    assert!(matches!(refusal(&mlp(&[]), &wider_all(2.0, Split::Replicate)), Refusal::Request { .. }));
}

#[test]
fn an_extent_that_is_no_growth_is_refused() {
    for to in [0, 2, 3] {
        assert!(reason(&mlp(&[3]), &wider(&["hidden1"], Extent::To(to), Split::Replicate), "hidden1").contains("3"));
    }
    for factor in [1.0, 0.5, -2.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(refusal(&mlp(&[3]), &wider_all(factor, Split::Replicate)), Refusal::Request { .. }));
    }
    let noise = |noise| wider_all(2.0, Split::Paper { noise });
    assert!(matches!(refusal(&mlp(&[3]), &noise(f64::NAN)), Refusal::Request { .. }));
    assert!(matches!(refusal(&mlp(&[3]), &noise(-0.1)), Refusal::Request { .. }));
    assert!(matches!(refusal(&mlp(&[3]), &wider(&[], Extent::To(9), Split::Replicate)), Refusal::Request { .. }));
    assert!(matches!(refusal(&mlp(&[3]), &deeper(&[], DeeperKind::Identity)), Refusal::Request { .. }));
}

#[test]
fn absurd_sizes_are_refused_before_anything_of_their_size_is_made() {
    for to in [1_000_000_000_000, usize::MAX] {
        for network in [mlp(&[3]), flattened(), residual(), branching()] {
            let name = network.nodes()[0].id.as_str();
            assert!(plan(&network, &wider(&[name], Extent::To(to), Split::Replicate), 1).is_err());
        }
    }
    assert!(plan(&flattened(), &wider_all(1e300, Split::Replicate), 1).is_err());
    let heavy = wider(&["hidden1", "hidden2"], Extent::To(100_000), Split::Fresh);
    assert!(matches!(refusal(&mlp(&[3, 3]), &heavy), Refusal::Budget { limit: 500_000_000, .. }));
}

#[test]
fn two_sizes_for_the_same_channels_are_refused() {
    let network = branching();
    assert!(plan(&network, &wider(&["a", "b", "c"], Extent::Factor(2.0), Split::Replicate), 1).is_ok());
    let both = wider(&["a", "b", "c"], Extent::To(10), Split::Replicate);
    assert!(reason(&network, &both, "c").contains("shared with other nodes"));
}

#[test]
fn a_refusal_is_data() {
    let refusal = refusal(&mlp(&[3]), &wider(&["x"], Extent::To(9), Split::Replicate));
    let text = serde_json::to_string(&refusal).unwrap();
    assert_eq!(text, r#"{"code":"unknown_node","node":"x","known":["hidden1"]}"#);
    assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
}

#[test]
fn a_plan_of_another_network_is_not_applied() {
    let (one, other) = (mlp(&[3]), mlp(&[4]));
    let state = state(&other, &Optimizer::ADAM);
    let plan = plan(&one, &wider_all(2.0, Split::Replicate), 1).unwrap();
    assert!(matches!(apply(&plan, &other, &state, &Optimizer::ADAM), Err(GrowthError::Mismatch(_))));
    assert!(matches!(apply(&plan, &one, &state, &Optimizer::ADAM), Err(GrowthError::Mismatch(_))));
    let mut damaged = plan.clone();
    damaged.steps[0].growths[0].added = Added::Copies(vec![0, 1, 7]);
    let own = super::fixtures::state(&one, &Optimizer::ADAM);
    assert!(matches!(apply(&damaged, &one, &own, &Optimizer::ADAM), Err(GrowthError::Mismatch(_))));
    damaged.steps[0].growths.clear();
    assert!(matches!(apply(&damaged, &one, &own, &Optimizer::ADAM), Err(GrowthError::Mismatch(_))));
}
