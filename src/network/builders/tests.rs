//! The documented nodes of every kind, and what is refused.

use serde_json::json;

use super::super::graph::NodeId;
use super::*;

fn ids(network: &Network) -> Vec<&str> {
    network.nodes().iter().map(|node| node.id.as_str()).collect()
}

fn mlp(hidden: &[usize], dropout: f64) -> NetworkSpec {
    NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout }
}

fn cnn(channels: &[usize]) -> NetworkSpec {
    NetworkSpec::Cnn { channels: channels.to_vec() }
}

fn resnet(blocks: &[usize], width: usize, style: ResnetStyle) -> NetworkSpec {
    NetworkSpec::Resnet { blocks: blocks.to_vec(), width, style }
}

fn inception(modules: usize, width: f64) -> NetworkSpec {
    NetworkSpec::InceptionBn { modules, width, stem: 32 }
}

fn read(document: serde_json::Value) -> NetworkSpec {
    serde_json::from_value(document).unwrap()
}

fn width_of(network: &Network, node: &str) -> usize {
    network.shape(&NodeId::parse(node).unwrap()).unwrap().channels()
}

fn plane_at(network: &Network, node: &str) -> (usize, usize) {
    network.shape(&NodeId::parse(node).unwrap()).unwrap().plane().unwrap()
}

fn refusal(spec: &NetworkSpec, input: &Shape, outputs: usize) -> String {
    spec.build(input, outputs).unwrap_err().to_string()
}

#[test]
fn an_mlp_has_its_documented_nodes() {
    let network = mlp(&[16, 8], 0.0).build(&Shape::flat(64), 10).unwrap();
    assert_eq!(ids(&network), ["hidden1", "hidden1_relu", "hidden2", "hidden2_relu", "output"]);
    assert_eq!(network.parameter_count(), (64 * 16 + 16) + (16 * 8 + 8) + (8 * 10 + 10));
    assert_eq!((network.layer_count(), network.summary().as_str()), (3, "64-16-8-10"));
}

#[test]
fn an_mlp_over_an_image_flattens_it_and_dropout_follows_the_activation() {
    let network = mlp(&[4], 0.25).build(&Shape::image(1, 8, 8), 3).unwrap();
    assert_eq!(ids(&network), ["flatten", "hidden1", "hidden1_relu", "hidden1_dropout", "output"]);
    assert_eq!(ids(&mlp(&[], 0.5).build(&Shape::flat(2), 1).unwrap()), ["output"]);
}

#[test]
fn a_cnn_pools_while_the_plane_is_large_enough() {
    let network = cnn(&[4, 8, 16]).build(&Shape::image(1, 8, 9), 10).unwrap();
    let expected = "conv1 conv1_norm conv1_relu conv1_pool conv2 conv2_norm conv2_relu conv2_pool \
                    conv3 conv3_norm conv3_relu pool output";
    assert_eq!(ids(&network).join(" "), expected);
    assert_eq!(network.output_shape(), &Shape::flat(10));
    assert!(cnn(&[2]).build(&Shape::image(3, 1, 1), 2).is_ok());
}

#[test]
fn documents_read_with_their_defaults_and_unknown_keys_are_errors() {
    let read = serde_json::from_str::<NetworkSpec>;
    assert_eq!(read(r#"{"kind": "mlp"}"#).unwrap(), mlp(&[16], 0.0));
    assert_eq!(read(r#"{"kind": "cnn"}"#).unwrap(), cnn(&[8, 16]));
    assert_eq!(read(r#"{"kind": "resnet"}"#).unwrap(), resnet(&[1, 1, 1], 16, ResnetStyle::Post));
    assert_eq!(read(r#"{"kind": "inception_bn"}"#).unwrap(), inception(4, 1.0));
    assert!(read(r#"{"kind": "graph"}"#).is_err());
    assert!(read(r#"{"kind": "resnet", "style": "late"}"#).is_err());
    assert!(read(r#"{"kind": "mlp", "width": 3}"#).is_err());
    assert!(read(r#"{"kind": "mlp", "hidden": [-1]}"#).is_err());
    assert!(read(r#"{"kind": "perceptron"}"#).is_err());
}

#[test]
fn impossible_documents_are_refused_with_the_reason() {
    let flat = Shape::flat(4);
    assert!(refusal(&mlp(&[8, 0], 0.0), &flat, 2).contains("number 2 of `hidden`"));
    assert!(refusal(&mlp(&[8], 1.0), &flat, 2).contains("dropout"));
    assert!(refusal(&mlp(&[8], f64::NAN), &flat, 2).contains("dropout"));
    assert!(refusal(&mlp(&[8], 0.0), &flat, 0).contains("output"));
    assert!(refusal(&cnn(&[8]), &flat, 2).contains("image"));
    assert!(refusal(&cnn(&[]), &Shape::image(1, 8, 8), 2).contains("convolution"));
    assert!(refusal(&mlp(&vec![1; 1001], 0.0), &flat, 2).contains("limit of 1000"));
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let absurd = [4_000_000_000, usize::MAX];
    for width in absurd {
        assert!(matches!(mlp(&[width], 0.0).build(&Shape::flat(4), 2), Err(NetworkError::TooLarge { .. })));
        assert!(matches!(cnn(&[width]).build(&Shape::image(1, 8, 8), 2), Err(NetworkError::TooLarge { .. })));
        assert!(matches!(mlp(&[4], 0.0).build(&Shape::flat(width), 2), Err(NetworkError::TooLarge { .. })));
        assert!(matches!(mlp(&[4], 0.0).build(&Shape::flat(4), width), Err(NetworkError::TooLarge { .. })));
        let image = Shape::image(width, width, width);
        assert!(matches!(mlp(&[4], 0.0).build(&image, 2), Err(NetworkError::TooLarge { .. })));
        assert!(matches!(cnn(&[4]).build(&image, 2), Err(NetworkError::TooLarge { .. })));
    }
    let wide = mlp(&[10_000_000; 1000], 0.0).build(&Shape::flat(16_000_000), 2);
    assert!(matches!(wide, Err(NetworkError::TooLarge { .. })));
}

#[test]
fn three_stages_of_three_blocks_of_16_channels_are_resnet_20() {
    let network = resnet(&[3, 3, 3], 16, ResnetStyle::Post).build(&Shape::image(3, 32, 32), 10).unwrap();
    // 19 convolutions of 3x3 and the output layer; two projections on top.
    assert_eq!(network.layer_count(), 20 + 2);
    // 269,722 without projections (He et al. 2015, table 6: 0.27M), those with their norms, and the convolutions'
    // biases.
    let projections = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64);
    let biases = 7 * 16 + (6 + 1) * 32 + (6 + 1) * 64;
    assert_eq!(network.parameter_count(), 269_722 + projections + biases);
    assert_eq!(plane_at(&network, "stage1_block3_relu"), (32, 32));
    assert_eq!(plane_at(&network, "stage3_block1_add"), (8, 8));
    assert_eq!(width_of(&network, "pool"), 64);
}

#[test]
fn a_resnet_has_its_documented_nodes_in_both_styles() {
    let post = resnet(&[1, 1], 4, ResnetStyle::Post).build(&Shape::image(1, 8, 8), 3).unwrap();
    let expected = "stem stem_norm stem_relu \
                    stage1_block1_a stage1_block1_a_norm stage1_block1_a_relu stage1_block1_b stage1_block1_b_norm \
                    stage1_block1_add stage1_block1_relu \
                    stage2_block1_a stage2_block1_a_norm stage2_block1_a_relu stage2_block1_b stage2_block1_b_norm \
                    stage2_block1_project stage2_block1_project_norm stage2_block1_add stage2_block1_relu pool output";
    assert_eq!(ids(&post).join(" "), expected);
    let pre = resnet(&[1, 1], 4, ResnetStyle::Pre).build(&Shape::image(1, 8, 8), 3).unwrap();
    let expected = "stem \
                    stage1_block1_a_norm stage1_block1_a_relu stage1_block1_a stage1_block1_b_norm \
                    stage1_block1_b_relu stage1_block1_b stage1_block1_add \
                    stage2_block1_a_norm stage2_block1_a_relu stage2_block1_a stage2_block1_b_norm \
                    stage2_block1_b_relu stage2_block1_b stage2_block1_project stage2_block1_add \
                    norm relu pool output";
    assert_eq!(ids(&pre).join(" "), expected);
}

#[test]
fn a_resnet_halves_the_plane_while_it_is_large_enough() {
    let planes = |side: usize| -> Vec<(usize, usize)> {
        let network = resnet(&[1, 1, 1, 1], 2, ResnetStyle::Post).build(&Shape::image(1, side, side), 2).unwrap();
        (1..=4).map(|stage| plane_at(&network, &format!("stage{stage}_block1_add"))).collect()
    };
    assert_eq!(planes(28), [(28, 28), (14, 14), (7, 7), (4, 4)]);
    assert_eq!(planes(8), [(8, 8), (4, 4), (2, 2), (2, 2)]);
    assert_eq!(planes(1), [(1, 1); 4]);
}

#[test]
fn the_small_inception_bn_has_its_documented_size() {
    let network = inception(4, 1.0).build(&Shape::image(3, 32, 32), 10).unwrap();
    assert_eq!(network.parameter_count(), 83_850);
    assert_eq!(network.layer_count(), 1 + 4 * 10 + 1);
    assert_eq!(plane_at(&network, "module1"), (16, 16));
    assert_eq!(plane_at(&network, "module3"), (8, 8));
    assert_eq!((width_of(&network, "module2"), width_of(&network, "pool")), (64, 128));
}

#[test]
fn a_module_has_its_documented_nodes() {
    let network = inception(1, 1.0).build(&Shape::image(1, 8, 8), 3).unwrap();
    let expected = "stem module1_a module1_b_reduce module1_b_3x1 module1_b_1x3 module1_c_reduce module1_c1_3x1 \
                    module1_c1_1x3 module1_c2_3x1 module1_c2_1x3 module1_d_pool module1_d module1 pool output";
    let inner = |id: &&str| !id.ends_with("_norm") && !id.ends_with("_relu");
    let plain: Vec<&str> = ids(&network).into_iter().filter(inner).collect();
    assert_eq!(plain.join(" "), expected);
    let kernel = |node: &str| network.node(&NodeId::parse(node).unwrap()).unwrap().op.document()["kernel"].clone();
    assert_eq!((kernel("module1_b_3x1"), kernel("module1_c2_1x3")), (json!([3, 1]), json!([1, 3])));
    for node in network.nodes().iter().filter(|node| node.op.kind() == "conv2d") {
        for behind in ["norm", "relu"] {
            assert!(network.node(&NodeId::parse(&format!("{}_{behind}", node.id)).unwrap()).is_some());
        }
    }
}

#[test]
fn the_multiplier_changes_the_modules_and_leaves_the_stem() {
    let build = |width| inception(4, width).build(&Shape::image(3, 32, 32), 10).unwrap();
    let (narrow, whole) = (build(0.3), build(1.0));
    assert_eq!((width_of(&narrow, "stem"), width_of(&whole, "stem")), (32, 32));
    assert_eq!((width_of(&narrow, "module1_a"), width_of(&whole, "module1_a")), (5, 16));
    assert_eq!((width_of(&narrow, "module4_d"), width_of(&whole, "module4_d")), (5, 16));
    assert_eq!(width_of(&build(1e-9), "module1"), 4, "every branch keeps one channel");
    assert_eq!(ids(&narrow), ids(&whole));
}

#[test]
fn images_of_all_sizes_have_their_inception() {
    for (side, planes) in [(1, [1, 1, 1]), (8, [8, 4, 2]), (28, [14, 7, 4]), (32, [16, 8, 4])] {
        let network = inception(6, 0.2).build(&Shape::image(1, side, side), 10).unwrap();
        let found = [1, 3, 5].map(|module| plane_at(&network, &format!("module{module}")).0);
        assert_eq!(found, planes, "of {side}");
    }
}

#[test]
fn a_graph_holds_any_op_as_stored_networks_do() {
    let nodes = json!([
        {"id": "table", "op": "embedding", "inputs": ["input"], "out": 4},
        {"id": "largest", "op": "maxout", "inputs": ["table"], "out": 3, "pieces": 2},
        {"id": "again", "op": "maxout", "inputs": ["table"], "shares": "largest", "out": 3, "pieces": 2},
        {"id": "both", "op": "concat", "inputs": ["table", "largest", "again"]},
        {"id": "last", "op": "linear", "inputs": ["both"], "out": 2}
    ]);
    let spec = read(json!({"kind": "graph", "nodes": nodes}));
    let network = spec.build(&Shape::flat(5), 2).unwrap();
    assert_eq!(ids(&network), ["table", "largest", "again", "both", "last"]);
    assert_eq!(network.parameter_count(), (5 * 4) + (4 * 3 * 2 + 3 * 2) + (10 * 2 + 2));
    assert_eq!(serde_json::to_value(&network).unwrap()["nodes"], nodes);
    assert_eq!(serde_json::to_value(&spec).unwrap(), json!({"kind": "graph", "nodes": nodes}));
}

#[test]
fn a_graph_at_fault_names_the_node_and_the_reason() {
    let fault = |nodes: serde_json::Value, input: Shape| {
        let spec = read(json!({"kind": "graph", "nodes": nodes}));
        let error = spec.build(&input, 3).unwrap_err();
        (spec.place_of(&error), error.to_string())
    };
    let flat = || Shape::flat(5);
    let last = json!({"id": "last", "op": "linear", "inputs": ["input"], "out": 3});
    let (place, text) = fault(json!([{"id": "a", "op": "linear", "inputs": ["input"]}, last]), flat());
    assert_eq!((place.as_str(), text.as_str()), ("/nodes/0", "node a: the hyperparameter `out` is missing"));
    let (place, text) = fault(json!([last, {"id": "b", "op": "perceptron", "inputs": ["last"]}]), flat());
    assert_eq!(place, "/nodes/1");
    assert!(text.starts_with("node b: there is no op of this kind"), "{text}");
    let (place, text) = fault(json!([{"id": "a", "op": "relu", "inputs": ["b"]}, last]), flat());
    assert_eq!(place, "/nodes/0");
    assert!(text.contains("`b`, which is no earlier node"), "{text}");
    let (place, text) = fault(json!([{"id": "a", "op": "linear", "inputs": ["input"], "out": 4}]), flat());
    let expected = "node a: it is the last node and gives 4 outputs; the task needs 3";
    assert_eq!((place.as_str(), text.as_str()), ("/nodes/0", expected));
    let (_, text) = fault(json!([{"id": "a", "op": "relu", "inputs": ["input"]}]), Shape::image(3, 2, 2));
    assert!(text.contains("images of 3x2x2") && text.contains("flat row of 3"), "{text}");
    let (place, text) = fault(json!([]), flat());
    assert_eq!(place, "");
    assert!(text.contains("at least one node"), "{text}");
}

#[test]
fn impossible_images_and_sizes_of_the_larger_kinds_are_refused() {
    let image = Shape::image(3, 32, 32);
    for spec in [resnet(&[1], 4, ResnetStyle::Pre), inception(1, 1.0)] {
        assert!(refusal(&spec, &Shape::flat(9), 2).contains("image"));
    }
    let post = |blocks: &[usize], width| refusal(&resnet(blocks, width, ResnetStyle::Post), &image, 2);
    assert!(post(&[], 4).contains("stages"));
    assert!(post(&[1; 17], 4).contains("stages"));
    assert!(post(&[2, 0], 4).contains("number 2 of `blocks`"));
    assert!(post(&[400, usize::MAX], 4).contains("limit of 500"));
    assert!(post(&[1], 0).contains("width"));
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert!(refusal(&inception(4, width), &image, 2).contains("`width`"), "{width}");
    }
    for modules in [0, 101, usize::MAX] {
        assert!(refusal(&inception(modules, 1.0), &image, 2).contains("`modules`"));
    }
    for width in [4_000_000_000, usize::MAX] {
        let spec = resnet(&[1, 1], width, ResnetStyle::Post);
        assert!(matches!(spec.build(&image, 2), Err(NetworkError::TooLarge { .. })));
        let spec = NetworkSpec::InceptionBn { modules: 4, width: 1.0, stem: width };
        assert!(matches!(spec.build(&image, 2), Err(NetworkError::TooLarge { .. })));
    }
    assert!(matches!(inception(100, 1000.0).build(&image, 2), Err(NetworkError::TooLarge { .. })));
}
