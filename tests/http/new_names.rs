//! Labels that nobody announced: a class not seen before gets its output and is learned, and the old ones are not forgotten.

use serde_json::{Value, json};

use crate::server::{Server, learner};

/// The centre of a class.
const CLASSES: [(&str, [f64; 2]); 3] = [("left", [-1.0, 0.0]), ("right", [1.0, 0.0]), ("above", [0.0, 2.0])];

/// Example `number` of a class, near its centre.
fn example(number: u64, class: usize) -> Value {
    let (label, [x, y]) = CLASSES[class];
    let angle = number as f64 * 2.4;
    json!({"inputs": {"point": [x + 0.4 * angle.sin(), y + 0.4 * (1.7 * angle).cos()]}, "label": label})
}

/// Posts `count` examples of the first `classes` classes in turn, after the first `skip`.
async fn post(server: &Server, skip: u64, count: u64, classes: usize) {
    let rows: Vec<Value> = (skip..skip + count).map(|number| example(number, number as usize % classes)).collect();
    server.post("/v1/learners/points/examples", &json!({ "examples": rows })).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_not_seen_before_becomes_a_class_that_is_predicted() {
    let server = Server::start().await;
    let mut document = learner("points");
    document["task"] = json!({"kind": "classification", "classes": ["left", "right"], "open_classes": true});
    document["schema"] = json!({"features": [{"name": "point", "kind": "vector", "size": 2}]});
    document["network"]["hidden"] = json!([8]);
    document["training"]["learning_rate"] = json!(0.02);
    server.post("/v1/learners", &document).await.expect(201);
    post(&server, 0, 400, 2).await;
    server.settle("points").await;
    let before = server.get("/v1/learners/points").await.expect(200);

    post(&server, 400, 1, 3).await;
    post(&server, 401, 800, 3).await;
    server.settle("points").await;
    let stored = server.get("/v1/learners/points/examples?after=400&limit=1000").await.expect(200);
    let labels = stored["examples"].as_array().unwrap().iter().map(|example| example["label"].as_str().unwrap());
    assert!(labels.filter(|label| *label == "above").count() > 200, "the label is stored as it came");
    let history = server.get("/v1/learners/points/growth").await.expect(200);
    let event = &history["events"][0];
    assert_eq!((&event["op"], &event["trigger"]), (&json!("classes"), &json!("stream")));
    assert_eq!(event["certificate"]["preserved"], true);

    for (class, (label, _)) in CLASSES.iter().enumerate() {
        let rows: Vec<Value> = (5_000..5_100).map(|number| example(number, class)["inputs"].clone()).collect();
        let answer = server.post("/v1/learners/points/predict", &json!({ "inputs": rows })).await.expect(200);
        assert!(answer["version"].as_u64() > before["live"]["version"].as_u64());
        let predictions = answer["predictions"].as_array().unwrap();
        let right = predictions.iter().filter(|prediction| prediction["label"] == *label).count();
        assert!(right >= 95, "{right} of 100 of class {label}");
    }
    server.stop().await;
}
