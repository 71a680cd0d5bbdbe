//! The kinds of networks that a learner can start with, over HTTP.

use serde_json::{Value, json};

use crate::server::Server;

/// A learner over one small image.
fn learner(name: &str, network: &Value) -> Value {
    json!({
        "name": name,
        "task": {"kind": "classification", "classes": ["dark", "light"]},
        "schema": {"features": [{"name": "picture", "kind": "image", "height": 6, "width": 5, "max": 1}]},
        "network": network,
        "training": {"batch": 8, "round_rows": 16, "round_wait_ms": 10, "publish_rows": 50, "max_passes": 0},
        "policy": {"kind": "manual", "max_parameters": 20_000}
    })
}

fn picture(number: usize) -> Value {
    let light = if number.is_multiple_of(2) { 0.9 } else { 0.1 };
    json!({ "picture": vec![light; 30] })
}

fn graph() -> Value {
    let window = json!({"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "kernel": [3, 3]});
    let convolution = |id: &str, op: &str, input: &str, own: Value| {
        let mut node = window.clone();
        node.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        node["id"] = json!(id);
        node["op"] = json!(op);
        node["inputs"] = json!([input]);
        node
    };
    let nodes = json!([
        convolution("conv", "conv2d", "input", json!({"out": 4})),
        {"id": "conv_relu", "op": "relu", "inputs": ["conv"]},
        convolution("grouped", "grouped_conv2d", "conv_relu", json!({"out": 4, "groups": 2})),
        convolution("own", "depthwise_conv2d", "conv_relu", json!({"multiplier": 1})),
        {"id": "sum", "op": "add", "inputs": ["grouped", "own"]},
        {"id": "pool", "op": "max_pool", "inputs": ["sum"], "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
        {"id": "flatten", "op": "flatten", "inputs": ["pool"]},
        {"id": "largest", "op": "maxout", "inputs": ["flatten"], "out": 3, "pieces": 2},
        {"id": "scores", "op": "linear", "inputs": ["largest"], "out": 2}
    ]);
    json!({"kind": "graph", "nodes": nodes})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_of_every_kind_of_network_learns_and_predicts() {
    let server = Server::start().await;
    let kinds = [
        ("mlp", json!({"kind": "mlp", "hidden": [4], "dropout": 0.1})),
        ("cnn", json!({"kind": "cnn", "channels": [2, 3]})),
        ("resnet", json!({"kind": "resnet", "blocks": [1, 1], "width": 2})),
        ("resnet_pre", json!({"kind": "resnet", "blocks": [1, 1], "width": 2, "style": "pre"})),
        ("inception", json!({"kind": "inception_bn", "modules": 2, "width": 0.2, "stem": 4})),
        ("graph", graph()),
    ];
    for (name, network) in &kinds {
        let created = server.post("/v1/learners", &learner(name, network)).await.expect(201);
        assert!(created["network"]["parameters"].as_u64().unwrap() > 0, "{name}");
    }
    for (name, _) in &kinds {
        let label = |number: usize| if number.is_multiple_of(2) { "light" } else { "dark" };
        let example = |number| json!({"inputs": picture(number), "label": label(number)});
        let examples: Vec<Value> = (0..24).map(example).collect();
        server.post(&format!("/v1/learners/{name}/examples"), &json!({ "examples": examples })).await.expect(200);
        let learner = server.settle(name).await;
        assert_eq!(learner["trained_seq"], 24, "{name}");
        let rows = json!({"inputs": [picture(0), picture(1)]});
        let answer = server.post(&format!("/v1/learners/{name}/predict"), &rows).await.expect(200);
        for prediction in answer["predictions"].as_array().unwrap() {
            let probabilities = prediction["probabilities"].as_object().unwrap().values();
            let sum: f64 = probabilities.map(|probability| probability.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{name}: {prediction}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_at_fault_is_pointed_at_and_nothing_is_created() {
    let server = Server::start().await;
    let (mut unknown, mut uneven, mut missing, mut other) = (graph(), graph(), graph(), graph());
    unknown["nodes"][1]["op"] = json!("perceptron");
    uneven["nodes"][2]["groups"] = json!(3);
    missing["nodes"][7].as_object_mut().unwrap().remove("inputs");
    other["nodes"][8]["out"] = json!(5);
    let cases = [
        (unknown, "/network/nodes/1", "node conv_relu: there is no op of this kind"),
        (uneven, "/network/nodes/2", "node grouped: its 4 output channels do not fall into 3 equal `groups`"),
        (missing, "/network/nodes/7", "inputs"),
        (other, "/network/nodes/8", "gives 5 outputs; the task needs 2"),
        (json!({"kind": "resnet", "blocks": [1, 0]}), "/network", "number 2 of `blocks`"),
        (json!({"kind": "resnet", "style": "late"}), "/network/style", "expected"),
        (json!({"kind": "resnet", "depth": 20}), "/network/depth", "unknown field"),
        (json!({"kind": "inception_bn", "width": 0}), "/network", "`width` is above 0"),
        (json!({"kind": "inception_bn", "modules": "many"}), "/network/modules", "expected"),
    ];
    for (network, pointer, detail) in cases {
        let refused = server.post("/v1/learners", &learner("odd", &network)).await.problem(422, "invalid_document");
        let error = &refused["errors"][0];
        assert_eq!(error["pointer"], pointer, "{refused}");
        assert!(error["detail"].as_str().unwrap().contains(detail), "{refused}");
    }
    server.get("/v1/learners/odd").await.problem(404, "learner_not_found");
    server.stop().await;
}
