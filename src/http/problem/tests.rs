//! The shape of problem documents.

use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Kind, Problem, REQUEST_ID};
use crate::growth::Refusal;
use crate::network::NodeId;

async fn document(problem: Problem) -> (u16, Value) {
    let response = problem.into_response();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_problem_is_a_whole_rfc_9457_document() {
    let problem = Problem::new(Kind::InvalidDocument, "a fault").at("/training/batch", "must be at least 1");
    let (status, document) = REQUEST_ID.scope("some-id".into(), document(problem)).await;
    assert_eq!(status, 422);
    assert_eq!(
        document,
        json!({
            "type": "urn:perennial:problem:invalid_document",
            "title": "The document is at fault",
            "status": 422,
            "detail": "a fault",
            "code": "invalid_document",
            "request_id": "some-id",
            "errors": [{"pointer": "/training/batch", "detail": "must be at least 1"}],
        })
    );
}

#[tokio::test]
async fn a_refusal_carries_its_data() {
    let (status, refused) = document(Refusal::Budget { parameters: 20, limit: 10 }.into()).await;
    assert_eq!((status, &refused["code"]), (422, &json!("growth_refused")));
    assert_eq!(refused["refusal"], json!({"code": "budget", "parameters": 20, "limit": 10}));

    let known = vec![NodeId::parse("hidden1").unwrap()];
    let (status, unknown) = document(Refusal::UnknownNode { node: "hidden9".into(), known }.into()).await;
    assert_eq!((status, &unknown["code"]), (404, &json!("unknown_node")));
    assert_eq!(unknown["refusal"]["known"], json!(["hidden1"]));
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let response = Problem::new(Kind::QueueFull, "full").into_response();
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn what_broke_inside_stays_in_the_log() {
    let (status, document) = document(Problem::internal(&"a secret")).await;
    assert_eq!(status, 500);
    assert!(!document.to_string().contains("secret"));
}
