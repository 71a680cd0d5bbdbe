//! Predictions: by the live version, by another, the most probable classes only.

use serde_json::{Value, json};

use crate::server::{Server, inputs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_names_its_version_and_its_probabilities_add_up() {
    let server = Server::start().await;
    server.create("cats").await;
    let rows: Vec<Value> = (0..300).map(inputs).collect();
    let answer = server.post("/v1/learners/cats/predict", &json!({ "inputs": rows })).await.expect(200);
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!((predictions.len(), &answer["version"]), (300, &json!(1)));
    for prediction in predictions {
        let probabilities = prediction["probabilities"].as_object().unwrap();
        let sum: f64 = probabilities.values().map(|value| value.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5 && probabilities.len() == 2);
        let label = prediction["label"].as_str().unwrap();
        assert!(probabilities.values().all(|value| value.as_f64() <= probabilities[label].as_f64()));
    }
    let top = server.post("/v1/learners/cats/predict?top=1", &json!({"inputs": [inputs(1)]})).await.expect(200);
    assert_eq!(top["predictions"][0]["probabilities"].as_object().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_version_answers_as_it_did() {
    let server = Server::start().await;
    server.create("cats").await;
    let row = json!({"inputs": [inputs(3)]});
    let first = server.post("/v1/learners/cats/predict", &row).await.expect(200);
    server.ingest("cats", 1, 200).await;
    let learner = server.settle("cats").await;
    assert!(learner["live"]["version"].as_u64().unwrap() > 1);

    for (path, body) in [
        ("/v1/learners/cats/predict?version=1", row.clone()),
        ("/v1/learners/cats/predict", json!({"inputs": [inputs(3)], "version": 1})),
    ] {
        assert_eq!(server.post(path, &body).await.expect(200), first);
    }
    let aliased = json!({"inputs": [inputs(3)], "version": "live"});
    let live = server.post("/v1/learners/cats/predict", &aliased).await.expect(200);
    assert!(live["version"].as_u64().unwrap() > 1);
    server.post("/v1/learners/cats/predict?version=999", &row).await.problem(404, "version_not_found");
    server.post("/v1/learners/cats/predict?version=newest", &row).await.problem(404, "alias_not_found");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regression_answers_with_a_value() {
    let server = Server::start().await;
    let mut document = crate::server::learner("prices");
    document["task"] = json!({"kind": "regression"});
    server.post("/v1/learners", &document).await.expect(201);
    let examples: Vec<Value> =
        (1..=50).map(|number| json!({"inputs": inputs(number), "label": 1000 + number})).collect();
    server.post("/v1/learners/prices/examples", &json!({ "examples": examples })).await.expect(200);
    server.settle("prices").await;
    let answer = server.post("/v1/learners/prices/predict", &json!({"inputs": [inputs(1)]})).await.expect(200);
    assert!(answer["predictions"][0]["value"].as_f64().unwrap().is_finite());
    server.stop().await;
}
