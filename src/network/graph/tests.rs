//! What a graph refuses, and what it answers.

use super::super::ops::add::Add;
use super::super::ops::linear::Linear;
use super::super::ops::relu::Relu;
use super::*;

fn id(text: &str) -> NodeId {
    NodeId::parse(text).unwrap()
}

fn node(name: &str, op: impl Op, inputs: &[&str]) -> Node {
    Node::new(id(name), Arc::new(op), inputs.iter().map(|text| id(text)).collect())
}

fn linear(name: &str, input: &str) -> Node {
    node(name, Linear { out: 4 }, &[input])
}

fn network() -> Network {
    let sum = node("sum", Add, &["below", "below"]);
    Network::new(Shape::flat(3), vec![linear("below", "input"), sum, linear("output", "sum")]).unwrap()
}

fn refusal(nodes: Vec<Node>) -> String {
    Network::new(Shape::flat(3), nodes).unwrap_err().to_string()
}

#[test]
fn malformed_graphs_are_refused_with_the_node_at_fault() {
    assert!(refusal(vec![]).contains("at least one node"));
    assert!(refusal(vec![linear("input", "input")]).contains("kept for"));
    assert!(refusal(vec![linear("a", "input"), linear("a", "a")]).contains("`a` is used twice"));
    assert!(refusal(vec![linear("a", "b"), linear("b", "input")]).starts_with("node a: takes `b`"));
    assert!(refusal(vec![linear("a", "a")]).starts_with("node a: takes `a`"));
    assert!(refusal(vec![linear("idle", "input"), linear("b", "input")]).starts_with("node idle: nothing uses"));
    assert!(refusal(vec![node("sum", Add, &["input", "below"])]).contains("takes `below`"));
}

#[test]
fn graphs_of_no_or_too_large_a_size_are_refused() {
    let empty = Network::new(Shape::image(1, 0, 4), vec![linear("a", "input")]);
    assert!(matches!(empty, Err(NetworkError::Graph(_))));
    let vast = Network::new(Shape::image(usize::MAX, 2, usize::MAX), vec![linear("a", "input")]);
    assert!(matches!(vast, Err(NetworkError::TooLarge { .. })));
    let wide = |name: &str, input: &str| node(name, Linear { out: 30_000 }, &[input]);
    let heavy = Network::new(Shape::flat(3), vec![wide("a", "input"), wide("b", "a")]);
    assert!(matches!(heavy, Err(NetworkError::TooLarge { what: "the number of parameters", .. })));
    let many = (0..10_001).map(|at| node(&format!("n{at}"), Relu, &["input"])).collect();
    assert!(matches!(Network::new(Shape::flat(3), many), Err(NetworkError::TooLarge { .. })));
}

#[test]
fn ids_are_plain() {
    for text in ["", "a/b", "a b", "ä", "..\\", &"a".repeat(101)] {
        assert!(NodeId::parse(text).is_err(), "{text}");
        assert!(serde_json::from_value::<NodeId>(text.into()).is_err());
    }
    assert!(NodeId::parse("Block-1.branch_2").is_ok());
}

#[test]
fn a_graph_knows_its_nodes_shapes_and_consumers() {
    let network = network();
    assert_eq!(network.shape(&id("sum")), Some(&Shape::flat(4)));
    assert_eq!(network.shape(&NodeId::input()), Some(&Shape::flat(3)));
    assert_eq!((network.shape(&id("other")), network.node(&NodeId::input()).is_none()), (None, true));
    let uses: Vec<(&str, usize)> =
        network.consumers(&id("below")).iter().map(|(node, index)| (node.id.as_str(), *index)).collect();
    assert_eq!(uses, [("sum", 0), ("sum", 1)]);
    assert_eq!((network.parameter_count(), network.layer_count()), (3 * 4 + 4 + 4 * 4 + 4, 2));
    let names: Vec<String> = network.parameters().map(|(id, _)| id.to_string()).collect();
    assert_eq!(names, ["below/weight", "below/bias", "output/weight", "output/bias"]);
    assert_eq!((network.summary().as_str(), network.output().id.as_str()), ("3-4-4", "output"));
}

#[test]
fn stored_graphs_read_back_and_malformed_ones_are_errors() {
    let document = serde_json::to_value(network()).unwrap();
    assert_eq!(serde_json::from_value::<Network>(document.clone()).unwrap(), network());
    let changed = |pointer: &str, value: Value| {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        serde_json::from_value::<Network>(document).is_err()
    };
    assert!(changed("/nodes/0/op", "perceptron".into()));
    assert!(changed("/nodes/0/id", "a/b".into()));
    assert!(changed("/nodes/1/inputs/0", "nowhere".into()));
    assert!(changed("/input", serde_json::json!([])));
    assert!(changed("/input", serde_json::json!([-3])));
    assert!(changed("/nodes", serde_json::json!([])));
    assert!(changed("/nodes/0/out", serde_json::json!(0)));
    let mut more = document.clone();
    more["nodes"][0]["surprise"] = 1.into();
    assert!(serde_json::from_value::<Network>(more).is_err());
}
