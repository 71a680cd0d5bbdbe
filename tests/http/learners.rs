//! Learners: created, listed, read, changed, deleted.

use serde_json::json;

use crate::server::{Server, learner};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_learner_is_shown_whole_and_predicts_at_once() {
    let server = Server::start().await;
    let created = server.post("/v1/learners", &learner("cats")).await;
    assert_eq!(created.header("location"), "/v1/learners/cats");
    created.expect(201);
    let shown = server.get("/v1/learners/cats").await.expect(200);
    assert_eq!(shown["name"], "cats");
    assert_eq!((&shown["head_seq"], &shown["trained_seq"]), (&json!(0), &json!(0)));
    assert_eq!(shown["live"], json!({"version": 1, "pinned": false, "trained_seq": 0}));
    assert_eq!(shown["network"]["layers"], 2);
    let ids: Vec<&str> =
        shown["network"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["hidden1", "hidden1_relu", "output"]);
    assert_eq!(shown["network"]["nodes"][0]["channels"], 4);
    assert_eq!(shown["training"]["settings"]["batch"], 16);
    let memory = &shown["training"]["memory"];
    // Every parameter begins a line of the cache.
    assert!(memory["weights_bytes"].as_u64() >= shown["network"]["parameters"].as_u64().map(|count| 4 * count));
    let held = ["weights", "optimizer", "activations", "gradients", "scratch"];
    let held = held.map(|kind| memory[format!("{kind}_bytes")].as_u64().unwrap());
    assert!(held.iter().all(|&bytes| bytes > 0), "{memory}");
    assert_eq!(memory["peak_bytes"].as_u64(), Some(held.iter().sum()));
    assert_eq!(shown["policy"]["kind"], "manual");
    assert!(shown["created_at"].as_str().unwrap().ends_with('Z'));

    let row = json!({"inputs": [{"size": 1.0, "colour": "red", "shape": [0.0, 1.0]}]});
    let answer = server.post("/v1/learners/cats/predict", &row).await.expect(200);
    assert_eq!(answer["version"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_pages() {
    let server = Server::start().await;
    for name in ["b", "c", "a"] {
        server.create(name).await;
    }
    let first = server.get("/v1/learners?limit=2").await.expect(200);
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["learners"].as_array().unwrap().iter().map(|learner| learner["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["next_after"], "b");
    let second = server.get("/v1/learners?limit=2&after=b").await.expect(200);
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["next_after"], json!(null));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_change_and_what_was_wrong_changes_nothing() {
    let server = Server::start().await;
    server.create("cats").await;
    let changed = server.patch("/v1/learners/cats", &json!({"training": {"learning_rate": 0.01}})).await.expect(200);
    assert_eq!(changed["training"]["settings"]["learning_rate"], 0.01);
    assert_eq!(changed["training"]["settings"]["batch"], 16);
    assert_eq!(changed["training"]["settings"]["schedule"], "constant");
    assert_eq!(changed["revision"], 2);
    let schedule = json!({"kind": "wsd", "warmup": 10, "stable": 20, "decay": 30, "floor": 0});
    let refused = server.patch("/v1/learners/cats", &json!({"training": {"schedule": schedule}})).await;
    let refused = refused.problem(422, "invalid_document");
    assert_eq!(refused["errors"][0]["pointer"], "/training/schedule");

    let refused = server.patch("/v1/learners/cats", &json!({"training": {"batch": 0}, "policy": {}})).await;
    let refused = refused.problem(422, "invalid_document");
    assert_eq!(refused["errors"][0]["pointer"], "/training/batch");
    server.patch("/v1/learners/cats", &json!({"network": {}})).await.problem(422, "invalid_document");
    assert_eq!(server.get("/v1/learners/cats").await.expect(200)["revision"], 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_learner_is_gone_and_its_name_is_free() {
    let server = Server::start().await;
    server.create("cats").await;
    server.ingest("cats", 1, 20).await;
    server.delete("/v1/learners/cats").await.expect(204);
    for path in ["", "/examples", "/versions", "/growth"] {
        server.get(&format!("/v1/learners/cats{path}")).await.problem(404, "learner_not_found");
    }
    server.delete("/v1/learners/cats").await.problem(404, "learner_not_found");
    let page = String::from_utf8(server.get("/metrics").await.bytes).unwrap();
    let left: Vec<&str> = page.lines().filter(|line| line.contains("learner=\"cats\"")).collect();
    assert!(left.is_empty(), "its metrics went with it: {left:?}");

    server.create("cats").await;
    assert_eq!(server.get("/v1/learners/cats").await.expect(200)["head_seq"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_taken_once_and_there_is_a_most() {
    let mut config = crate::server::config();
    config.limits.learners = 2;
    let server = Server::start_with(config).await;
    server.create("a").await;
    server.post("/v1/learners", &learner("a")).await.problem(409, "learner_exists");
    server.create("b").await;
    let refused = server.post("/v1/learners", &learner("c")).await.problem(409, "too_many_learners");
    assert!(refused["detail"].as_str().unwrap().contains('2'));
    server.stop().await;
}
