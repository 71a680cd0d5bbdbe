//! Versions and their weights.

use serde_json::json;

use crate::server::Server;

const PATH: &str = "/v1/learners/cats/versions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_has_its_graph_and_its_weights() {
    let server = Server::start().await;
    let created = server.create("cats").await;
    let version = server.get(&format!("{PATH}/1")).await.expect(200);
    assert_eq!((&version["version"], &version["parent"], &version["live"]), (&json!(1), &json!(null), &json!(true)));
    assert_eq!(version["cause"]["kind"], "created");
    assert_eq!(version["network"]["parameters"], created["network"]["parameters"]);
    assert_eq!(version["network"]["nodes"].as_array().unwrap().len(), 3);

    let weights = server.get(&format!("{PATH}/1/weights")).await;
    assert_eq!((weights.status, weights.header("content-type")), (200, "application/octet-stream"));
    let tag = format!("\"{}\"", version["digest"].as_str().unwrap());
    assert_eq!(weights.header("etag"), tag);
    assert!(weights.header("content-disposition").contains("cats-1.safetensors"));
    let tensors = safetensors::SafeTensors::deserialize(&weights.bytes).unwrap();
    assert!(tensors.names().contains(&"hidden1/weight"));

    let request = server.client.get(format!("{}{PATH}/1/weights", server.base)).header("if-none-match", tag);
    let unchanged = server.send(request).await;
    assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_listed_in_order_and_one_is_live() {
    let server = Server::start().await;
    server.create("cats").await;
    server.ingest("cats", 1, 200).await;
    let learner = server.settle("cats").await;
    let list = server.get(PATH).await.expect(200);
    let versions = list["versions"].as_array().unwrap();
    let numbers: Vec<u64> = versions.iter().map(|version| version["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let live: Vec<_> = versions.iter().filter(|version| version["live"] == true).collect();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0]["version"], learner["live"]["version"]);
    for path in ["/0", "/999", "/abc", "/-1", "/1e3", "/18446744073709551616"] {
        server.get(&format!("{PATH}{path}")).await.problem(404, "version_not_found");
        server.get(&format!("{PATH}{path}/weights")).await.problem(404, "version_not_found");
    }
    server.stop().await;
}
