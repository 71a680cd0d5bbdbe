//! Groups, blocks and shared parameters: what must grow alike does, and copies stay inside their group.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::ops::add::Add;
use crate::network::ops::concat::Concat;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::depthwise_conv2d::DepthwiseConv2d;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::grouped_conv2d::GroupedConv2d;
use crate::network::ops::linear::Linear;
use crate::network::ops::relu::Relu;
use crate::network::{Network, Node, NodeId, Shape};

fn grouped(out: usize, groups: usize) -> GroupedConv2d {
    GroupedConv2d { out, groups, kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] }
}

fn depthwise(multiplier: usize) -> DepthwiseConv2d {
    DepthwiseConv2d { multiplier, kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] }
}

/// A grouped convolution between two plain ones, of whose first the second takes a part too.
fn in_groups() -> Network {
    let nodes = vec![
        node("below", Conv2d::same(6, [3, 3]), &["input"]),
        node("grouped", grouped(4, 2), &["below"]),
        node("relu", Relu, &["grouped"]),
        node("joined", Concat, &["relu", "below"]),
        node("flatten", Flatten, &["joined"]),
        node("output", Linear { out: 3 }, &["flatten"]),
    ];
    Network::new(Shape::image(1, 4, 3), nodes).unwrap()
}

fn certified(network: &Network, request: &GrowthRequest) -> (Plan, State) {
    let (plan, grown, certificate) = grow(network, &state(network, &Optimizer::ADAM), request);
    assert!(certificate.preserved && certificate.max_rel_diff <= 1e-12, "{certificate:?}");
    (plan, grown)
}

fn reason(network: &Network, request: &GrowthRequest) -> String {
    match refusal(network, request) {
        Refusal::Node { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn copies_stand_inside_their_group_and_every_group_copies_the_same() {
    let network = in_groups();
    for split in [Split::Replicate, Split::Paper { noise: 0.0 }, Split::Fresh] {
        let (plan, grown) = certified(&network, &wider(&["below"], Extent::To(10), split));
        assert_eq!((width(plan.student(), "below"), width(plan.student(), "grouped")), (10, 4));
        let before = numbers(&state(&network, &Optimizer::ADAM), "below/bias");
        let after = numbers(&grown, "below/bias");
        assert!(before.chunks(3).zip(after.chunks(5)).all(|(old, new)| new[..3] == *old));
        if split != Split::Fresh {
            let places = |group: usize| -> Vec<usize> {
                let (old, new) = (&before[group * 3..][..3], &after[group * 5..][..5]);
                new[3..].iter().map(|copy| old.iter().position(|source| source == copy).unwrap()).collect()
            };
            assert_eq!(places(0), places(1));
        }
        let (plan, _) = certified(&network, &wider(&["grouped"], Extent::To(6), split));
        assert_eq!((width(plan.student(), "below"), width(plan.student(), "grouped")), (6, 6));
        assert_eq!(plan.steps[0].layouts[&id("joined")].len(), 4, "two groups of `grouped` and two of `below`");
    }
}

#[test]
fn groups_of_unequal_size_are_refused_with_the_reason() {
    let to = |node: &str, to| wider(&[node], Extent::To(to), Split::Replicate);
    assert!(reason(&in_groups(), &to("grouped", 5)).contains("exactly 5"));
    assert!(reason(&in_groups(), &to("below", 9)).contains("exactly 9"));
}

#[test]
fn groups_that_lie_across_a_concatenation_tie_its_parts_together() {
    let nodes = vec![
        node("a", Conv2d::same(3, [1, 1]), &["input"]),
        node("b", Conv2d::same(5, [1, 1]), &["input"]),
        node("joined", Concat, &["a", "b"]),
        node("grouped", grouped(2, 2), &["joined"]),
        node("flatten", Flatten, &["grouped"]),
        node("output", Linear { out: 3 }, &["flatten"]),
    ];
    let network = Network::new(Shape::image(1, 3, 3), nodes).unwrap();
    let (plan, _) = certified(&network, &wider(&["a"], Extent::To(6), Split::Replicate));
    assert_eq!((width(plan.student(), "a"), width(plan.student(), "b"), width(plan.student(), "joined")), (6, 8, 14));
}

#[test]
fn a_multiplier_makes_blocks_that_follow_their_channel() {
    for multiplier in [1, 3] {
        let nodes = vec![
            node("below", Conv2d::same(3, [1, 1]), &["input"]),
            node("depthwise", depthwise(multiplier), &["below"]),
            node("relu", Relu, &["depthwise"]),
            node("flatten", Flatten, &["relu"]),
            node("output", Linear { out: 2 }, &["flatten"]),
        ];
        let network = Network::new(Shape::image(2, 3, 3), nodes).unwrap();
        let (plan, _) = certified(&network, &wider(&["below"], Extent::To(5), Split::Replicate));
        assert_eq!(width(plan.student(), "depthwise"), 5 * multiplier);
        assert_eq!(width(plan.student(), "flatten"), 5 * multiplier * 9);
        assert!(reason(&network, &wider(&["depthwise"], Extent::Factor(2.0), Split::Fresh)).contains("below"));
    }
}

/// `second` uses the parameters of `first`, one on the output of the other.
fn shared() -> Network {
    let again = Node { shares: Some(id("first")), ..node("second", Linear { out: 4 }, &["first_relu"]) };
    let nodes = vec![
        node("below", Linear { out: 4 }, &["input"]),
        node("first", Linear { out: 4 }, &["below"]),
        node("first_relu", Relu, &["first"]),
        again,
        node("second_relu", Relu, &["second"]),
        node("output", Linear { out: 3 }, &["second_relu"]),
    ];
    Network::new(Shape::flat(5), nodes).unwrap()
}

#[test]
fn a_parameter_of_two_nodes_is_one_parameter_with_one_mapping() {
    let network = shared();
    assert_eq!(network.parameter_count(), (5 * 4 + 4) + (4 * 4 + 4) + (4 * 3 + 3));
    assert!(network.parameters().all(|(name, _)| !name.as_str().starts_with("second/")));
    for named in ["below", "first", "second"] {
        let (plan, grown) = certified(&network, &wider(&[named], Extent::To(7), Split::Replicate));
        for node in ["below", "first", "second"] {
            assert_eq!(width(plan.student(), node), 7, "{node}");
        }
        assert_eq!(plan.steps[0].growths.len(), 1);
        assert_eq!(plan.student().node(&id("second")).unwrap().shares, Some(id("first")));
        assert_eq!(numbers(&grown, "first/weight").len(), 49);
        let touched = plan.touched.iter().find(|touched| touched.node == id("second")).unwrap();
        assert_eq!(
            (touched.parameters_before, touched.parameters_after),
            (0, 0),
            "they are counted where they are owned"
        );
    }
    let stored = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&stored).unwrap(), network);
}

#[test]
fn a_layer_is_put_behind_one_user_of_a_parameter_or_both() {
    for after in [&["first"][..], &["second"], &["first", "second"]] {
        for kind in [DeeperKind::Identity, DeeperKind::Residual] {
            certified(&shared(), &deeper(after, kind));
        }
    }
}

#[test]
fn parameters_that_cannot_be_shared_are_refused_with_the_node() {
    let network = |second: Node| {
        let nodes = vec![
            node("first", Linear { out: 4 }, &["input"]),
            node("relu", Relu, &["first"]),
            second,
            node("sum", Add, &["second", "second"]),
            node("output", Linear { out: 2 }, &["sum"]),
        ];
        Network::new(Shape::flat(4), nodes).unwrap_err().to_string()
    };
    let shares = |owner: &str, out: usize| Node {
        shares: Some(NodeId::parse(owner).unwrap()),
        ..node("second", Linear { out }, &["relu"])
    };
    assert!(network(shares("output", 4)).contains("earlier"));
    assert!(network(shares("nobody", 4)).contains("earlier"));
    assert!(network(shares("first", 3)).contains("one op"));
    assert!(network(shares("relu", 4)).contains("one op"));
    let relus = Node { shares: Some(id("relu")), ..node("second", Relu, &["first"]) };
    assert!(network(relus).contains("has none"));
}
