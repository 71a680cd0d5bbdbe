//! Every kind of network that a learner can start with grows: all of it wider, all of it deeper, by plan and
//! certificate.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::builders::NetworkSpec;
use crate::network::{Network, Shape};

/// A small network of every kind, and one of every op that has channels of its own.
fn small_networks() -> Vec<(&'static str, Network)> {
    let image = Shape::image(2, 6, 5);
    let build = |document: serde_json::Value, input: &Shape| {
        serde_json::from_value::<NetworkSpec>(document).unwrap().build(input, 3).unwrap()
    };
    let pool = serde_json::json!({"id": "pool", "op": "max_pool", "inputs": ["grouped_relu"],
        "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]});
    let depthwise = |id: &str, input: &str, multiplier: usize| {
        serde_json::json!({"id": id, "op": "depthwise_conv2d", "inputs": [input], "multiplier": multiplier,
            "kernel": [3, 1], "stride": [1, 1], "padding": [1, 0], "dilation": [1, 1]})
    };
    let convolutions = serde_json::json!([
        {"id": "conv", "op": "conv2d", "inputs": ["input"], "out": 4,
            "kernel": [1, 1], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]},
        {"id": "conv_relu", "op": "relu", "inputs": ["conv"]},
        {"id": "grouped", "op": "grouped_conv2d", "inputs": ["conv_relu"], "out": 4, "groups": 2,
            "kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]},
        {"id": "grouped_relu", "op": "relu", "inputs": ["grouped"]},
        pool,
        depthwise("depthwise", "pool", 1),
        depthwise("multiplied", "depthwise", 2),
        {"id": "flatten", "op": "flatten", "inputs": ["multiplied"]},
        {"id": "output", "op": "linear", "inputs": ["flatten"], "out": 3}
    ]);
    let rows = serde_json::json!([
        {"id": "table", "op": "embedding", "inputs": ["input"], "out": 3},
        {"id": "largest", "op": "maxout", "inputs": ["table"], "out": 4, "pieces": 2},
        {"id": "output", "op": "linear", "inputs": ["largest"], "out": 3}
    ]);
    let flat = Shape::flat(5);
    vec![
        ("mlp", build(serde_json::json!({"kind": "mlp", "hidden": [3, 2]}), &flat)),
        ("cnn", build(serde_json::json!({"kind": "cnn", "channels": [2, 3]}), &image)),
        ("resnet", build(serde_json::json!({"kind": "resnet", "blocks": [1, 1], "width": 2}), &image)),
        ("pre", build(serde_json::json!({"kind": "resnet", "blocks": [2, 1], "width": 2, "style": "pre"}), &image)),
        (
            "inception_bn",
            build(serde_json::json!({"kind": "inception_bn", "modules": 1, "width": 0.15, "stem": 2}), &image),
        ),
        ("convolutions", build(serde_json::json!({"kind": "graph", "nodes": convolutions}), &image)),
        ("rows", build(serde_json::json!({"kind": "graph", "nodes": rows}), &flat)),
    ]
}

#[test]
fn every_kind_of_network_widens_as_a_whole() {
    for (name, network) in small_networks() {
        let state = state(&network, &Optimizer::ADAM);
        let (plan, _, certificate) = grow(&network, &state, &wider_all(1.5, Split::Replicate));
        assert!(certificate.preserved, "{name}: {certificate:?}");
        for node in network.nodes().iter().filter(|node| node.op.produces_channels()) {
            let grown = width(plan.student(), node.id.as_str()) > width(&network, node.id.as_str());
            assert_eq!(grown, node.id != network.output().id, "{name}: {}", node.id);
        }
    }
}

#[test]
fn every_kind_of_network_deepens_as_a_whole() {
    for (name, network) in small_networks() {
        for kind in [DeeperKind::Identity, DeeperKind::Residual] {
            let state = state(&network, &Optimizer::ADAM);
            let request = GrowthRequest::Deeper(Deeper::plain(Nodes::All, kind));
            let (plan, _, certificate) = grow(&network, &state, &request);
            assert!(certificate.preserved, "{name}: {certificate:?}");
            assert!(plan.student().layer_count() > network.layer_count(), "{name}");
        }
    }
}

#[test]
fn a_new_category_is_a_new_row_of_its_embedding() {
    let (_, network) = small_networks().pop().unwrap();
    let state = state(&network, &Optimizer::ADAM);
    let (plan, grown, certificate) = grow(&network, &state, &GrowthRequest::Inputs { add: 2 });
    assert_eq!((plan.student().input(), certificate.preserved), (&Shape::flat(7), true));
    let (before, after) = (numbers(&state, "table/weight"), numbers(&grown, "table/weight"));
    assert_eq!((&after[..15], &after[15..]), (&before[..], &[0.0; 6][..]));
}
