//! Probes, metrics, paths that are not there, and stopping.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, example, inputs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_answer() {
    let server = Server::start().await;
    server.get("/livez").await.expect(200);
    assert_eq!(server.get("/readyz").await.expect(200)["ready"], true);
    server.create("cats").await;
    server.post("/v1/learners/cats/predict", &json!({"inputs": [inputs(1)]})).await.expect(200);
    assert_eq!(server.get("/readyz").await.expect(200)["checks"], json!({"learners": 1, "serving": 1}));

    server.ingest("cats", 1, 3).await;
    let bad = json!({"examples": [{"inputs": {}, "label": 3}]});
    server.post("/v1/learners/cats/examples", &bad).await.problem(422, "invalid_rows");

    let page = server.get("/metrics").await;
    assert!(page.header("content-type").starts_with("text/plain; version=0.0.4"));
    let page = String::from_utf8(page.bytes).unwrap();
    for line in [
        "perennial_predict_rows_total{learner=\"cats\"} 1",
        "perennial_serving_version{learner=\"cats\"} 1",
        "perennial_http_requests_total{method=\"POST\",route=\"/v1/learners/{learner}/predict\",status=\"200\"} 1",
        "perennial_ingest_examples_total{learner=\"cats\",outcome=\"accepted\"} 3",
        "perennial_ingest_examples_total{learner=\"cats\",outcome=\"invalid\"} 1",
        "perennial_stream_head_seq{learner=\"cats\"} 3",
        "perennial_db_pool_connections{state=\"idle\"}",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_a_problem_too() {
    let server = Server::start().await;
    for path in ["/", "/v1", "/v1/learners/", "/v2", "/v1/learners/a/b/c", "/v1//learners", "/%ff"] {
        server.get(path).await.problem(404, "not_found");
    }
    let answer = server.delete("/v1/learners").await;
    let mut allowed: Vec<String> = answer.header("allow").split(',').map(|method| method.trim().to_owned()).collect();
    allowed.sort();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    answer.problem(405, "method_not_allowed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_does_not_keep_the_server_from_stopping() {
    let server = Server::start().await;
    let address = server.base.trim_start_matches("http://").to_owned();
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(b"POST /v1/learners HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{").await.unwrap();

    tokio::time::timeout(Duration::from_secs(60), server.stop()).await.expect("the server stops at its deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn predictions_go_on_when_the_database_is_gone() {
    let server = Server::start().await;
    server.create("cats").await;
    server.state.store.close().await;
    server.post("/v1/learners/cats/predict", &json!({"inputs": [inputs(1)]})).await.expect(200);
    server.get("/readyz").await.expect(200);
    let examples = json!({"examples": [example(1)]});
    server.post("/v1/learners/cats/examples", &examples).await.problem(503, "storage_unavailable");
    server.get("/v1/learners/cats").await.problem(503, "storage_unavailable");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_is_not_ready() {
    let server = Server::start().await;
    server.state.begin_stop();
    server.get("/readyz").await.problem(503, "stopping");
    server.get("/livez").await.expect(200);
    server.stop().await;
}
