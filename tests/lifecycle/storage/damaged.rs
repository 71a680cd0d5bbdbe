//! Bytes of the database that are no longer what they were.

use std::path::Path;

use super::stream::{Stream, logged, metric};
use crate::server::Process;

/// Overwrites every page of the database that holds one of these bytes; how many there were.
fn damage(data: &Path, holds: &[u8]) -> usize {
    let file = data.join("perennial.db");
    let mut bytes = std::fs::read(&file).expect("readable");
    let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let mut damaged = 0;
    for page in bytes.chunks_mut(size).skip(1) {
        if page.windows(holds.len()).any(|window| window == holds) {
            page.fill(0xA5);
            damaged += 1;
        }
    }
    std::fs::write(&file, bytes).expect("written");
    damaged
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_of_the_stream_are_told_and_predictions_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Process::start(&data);
    let mut stream = Stream::start(&server).await;
    assert_eq!(stream.post(&server, 400).await.0, 200);
    server.idle("digits").await;
    assert_eq!(server.terminate(), Some(0));

    assert!(damage(&data, b"row-250") > 0);
    let server = logged(&data, folder.path());
    stream.predicts(&server).await;
    let (status, answer) = server.request("GET", "/v1/learners/digits/examples?limit=1000", None).await;
    assert!(status >= 500 && answer["code"].is_string(), "{status} {answer}");
    let (status, answer) = stream.post(&server, 20).await;
    assert!(status == 200 || status >= 500, "{answer}");
    stream.predicts(&server).await;
    // Whatever a trainer makes of it, it does not try without a pause.
    assert!(metric(&server, "perennial_train_failures_total{learner=\"digits\"}").await < 20);
    server.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_live_version_leaves_the_one_before_serving_and_others_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Process::start(&data);
    let mut stream = Stream::start(&server).await;
    assert_eq!(stream.post(&server, 200).await.0, 200);
    let live = server.idle("digits").await["live"]["version"].as_u64().expect("a version");
    assert!(live > 1);
    let weights = reqwest::get(server.url(&format!("/v1/learners/digits/versions/{live}/weights"))).await;
    let weights = weights.expect("an answer").bytes().await.expect("whole");
    assert_eq!(server.terminate(), Some(0));

    // A few bytes from the middle of the weights tell their pages from all others.
    let middle = weights.len() / 2;
    assert!(damage(&data, &weights[middle..middle + 16]) > 0);
    let server = logged(&data, folder.path());
    stream.predicts(&server).await;
    let shown = server.get("/v1/learners/digits").await;
    assert_eq!(shown["live"]["version"], live, "the registry says what it said: {shown}");
    let body = serde_json::json!({"inputs": [{"pixels": vec![0; 64]}], "version": live});
    let (status, answer) = server.request("POST", "/v1/learners/digits/predict", Some(&body)).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("version_damaged")), "{answer}");
    let first = serde_json::json!({"inputs": [{"pixels": vec![0; 64]}], "version": 1});
    let (status, answer) = server.request("POST", "/v1/learners/digits/predict", Some(&first)).await;
    assert_eq!(status, 200, "other versions are sound: {answer}");
    assert!(metric(&server, "perennial_version_load_failures_total{learner=\"digits\"}").await > 0);
    server.terminate();
}
