//! Networks whose programs are special: what is joined, left out, used twice or has no kernel.

use std::sync::Arc;

use super::subject::Subject;
use crate::network::ops::add::Add;
use crate::network::ops::batch_norm::BatchNorm;
use crate::network::ops::concat::Concat;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::dropout::Dropout;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::global_avg_pool::GlobalAvgPool;
use crate::network::ops::leaky_relu::LeakyRelu;
use crate::network::ops::linear::Linear;
use crate::network::ops::max_pool::MaxPool;
use crate::network::ops::mul::Mul;
use crate::network::ops::relu::Relu;
use crate::network::ops::tanh::Tanh;
use crate::network::program::TrainingProgram;
use crate::network::samples::{Squares, id};
use crate::network::{Network, Node, Op, Shape};

fn node(name: &str, op: impl Op, inputs: &[&str]) -> Node {
    Node::new(id(name), Arc::new(op), inputs.iter().map(|text| id(text)).collect())
}

fn check(input: Shape, nodes: Vec<Node>) {
    let network = Network::new(input, nodes).unwrap();
    let mut program = TrainingProgram::compile(&network, 5);
    for rows in [4, 1, 5] {
        Subject::new(network.clone(), rows, 3).check(&mut program);
    }
}

#[test]
fn a_value_that_enters_a_node_more_than_once_has_the_sum_of_its_gradients() {
    check(
        Shape::flat(3),
        vec![
            node("a", Linear { out: 4 }, &["input"]),
            node("square", Mul, &["a", "a"]),
            node("thrice", Add, &["square", "a", "square"]),
            node("joined", Concat, &["thrice", "a", "thrice", "thrice"]),
            node("output", Linear { out: 2 }, &["joined"]),
        ],
    );
    check(Shape::flat(3), vec![node("sum", Add, &["input", "input"]), node("output", Linear { out: 2 }, &["sum"])]);
}

#[test]
fn parameters_of_several_nodes_have_the_sum_of_their_gradients() {
    let shared = |name: &str, input: &str| Node { shares: Some(id("a")), ..node(name, Linear { out: 4 }, &[input]) };
    check(
        Shape::flat(4),
        vec![
            node("a", Linear { out: 4 }, &["input"]),
            node("a_relu", Relu, &["a"]),
            shared("b", "a_relu"),
            node("b_tanh", Tanh, &["b"]),
            shared("c", "a_relu"),
            node("sum", Add, &["b_tanh", "c", "a"]),
            node("output", Linear { out: 2 }, &["sum"]),
        ],
    );
    let image =
        |name: &str, input: &str| Node { shares: Some(id("a")), ..node(name, Conv2d::same(2, [3, 3]), &[input]) };
    check(
        Shape::image(2, 4, 3),
        vec![node("a", Conv2d::same(2, [3, 3]), &["input"]), image("b", "a"), node("output", Flatten, &["b"])],
    );
}

#[test]
fn an_op_without_a_kernel_runs_through_its_tensors_anywhere() {
    check(
        Shape::flat(3),
        vec![
            node("first", Squares { out: 4 }, &["input"]),
            node("relu", Relu, &["first"]),
            node("inner", Squares { out: 3 }, &["relu"]),
            node("side", Linear { out: 3 }, &["relu"]),
            node("twice", Squares { out: 3 }, &["side"]),
            Node { shares: Some(id("twice")), ..node("again", Squares { out: 3 }, &["inner"]) },
            node("sum", Add, &["inner", "twice", "again"]),
            node("output", Squares { out: 2 }, &["sum"]),
        ],
    );
}

#[test]
fn an_output_may_be_an_image() {
    let norm = || BatchNorm { epsilon: 0.05, momentum: 0.1 };
    check(
        Shape::image(2, 5, 4),
        vec![
            node("conv", Conv2d::same(3, [3, 3]), &["input"]),
            node("norm", norm(), &["conv"]),
            node("relu", Relu, &["norm"]),
        ],
    );
    check(Shape::image(2, 5, 4), vec![node("output", Conv2d::same(3, [3, 1]), &["input"])]);
}

#[test]
fn what_learns_nothing_is_passed_over_on_the_way_back() {
    check(
        Shape::image(2, 4, 4),
        vec![
            node("pool", MaxPool::unpadded([2, 2], [2, 2]), &["input"]),
            node("bent", LeakyRelu { slope: 0.2 }, &["pool"]),
            node("conv", Conv2d::same(2, [1, 1]), &["bent"]),
            node("sum", Add, &["bent", "conv"]),
            node("flat", Flatten, &["sum"]),
            node("seen", GlobalAvgPool, &["bent"]),
            node("all", Concat, &["flat", "seen"]),
            node("output", Linear { out: 2 }, &["all"]),
        ],
    );
    check(Shape::flat(4), vec![node("bent", Tanh, &["input"]), node("output", Relu, &["bent"])]);
}

#[test]
fn what_changes_nothing_is_no_step_and_no_value() {
    check(Shape::image(1, 3, 2), vec![node("output", Flatten, &["input"])]);
    check(
        Shape::image(1, 3, 2),
        vec![
            node("flat", Flatten, &["input"]),
            node("hidden", Linear { out: 4 }, &["flat"]),
            node("dropped", Dropout { probability: 0.5 }, &["hidden"]),
            node("again", Dropout { probability: 0.2 }, &["dropped"]),
            node("relu", Relu, &["again"]),
            node("sum", Add, &["relu", "dropped"]),
        ],
    );
    check(
        Shape::image(3, 2, 2),
        vec![
            node("pool", MaxPool::unpadded([2, 2], [2, 2]), &["input"]),
            node("conv", Conv2d::same(4, [1, 1]), &["pool"]),
            node("output", Flatten, &["conv"]),
        ],
    );
}

#[test]
fn a_rectifier_and_a_norm_are_joined_only_to_a_layer_that_nobody_else_sees() {
    let norm = || BatchNorm { epsilon: 0.05, momentum: 0.1 };
    check(
        Shape::flat(4),
        vec![
            node("a", Linear { out: 3 }, &["input"]),
            node("a_norm", norm(), &["a"]),
            node("a_relu", LeakyRelu { slope: 0.3 }, &["a_norm"]),
            node("a_again", Relu, &["a_relu"]),
            node("b", Linear { out: 3 }, &["a_again"]),
            node("b_norm", norm(), &["b"]),
            node("b_relu", Relu, &["b_norm"]),
            node("c", Linear { out: 3 }, &["b_norm"]),
            node("c_relu", Relu, &["c"]),
            node("sum", Add, &["b_relu", "c_relu", "c"]),
            node("sum_relu", Relu, &["sum"]),
            node("sum_norm", norm(), &["sum_relu"]),
        ],
    );
}
