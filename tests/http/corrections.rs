//! Corrections: an example that is deleted leaves a tombstone, for ever.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, example};

const PATH: &str = "/v1/learners/cats/examples";

/// Three examples, the second without an id, the third with one that has to be escaped in a path.
async fn filled() -> Server {
    let server = Server::start().await;
    server.create("cats").await;
    let mut examples: Vec<Value> = (1..=3).map(example).collect();
    examples[0]["id"] = json!("tom");
    examples[2]["id"] = json!("a/b ?");
    server.post(PATH, &json!({ "examples": examples })).await.expect(200);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_example_is_a_tombstone_and_its_id_stays_taken() {
    let server = filled().await;
    for _ in 0..2 {
        let answer = server.delete(&format!("{PATH}/tom")).await.expect(200);
        assert_eq!(answer, json!({"seq": 1, "deleted": true}), "deleting again answers the same");
    }
    assert_eq!(server.delete(&format!("{PATH}?seq=2")).await.expect(200)["seq"], 2);
    assert_eq!(server.delete(&format!("{PATH}/a%2Fb%20%3F")).await.expect(200)["seq"], 3);
    let page = server.get(PATH).await.expect(200);
    let tombstone = |seq: u64| json!({"seq": seq, "deleted": true});
    assert_eq!(page["examples"], json!([tombstone(1), tombstone(2), tombstone(3)]));
    let mut again = example(4);
    again["id"] = json!("tom");
    let answer = server.post(PATH, &json!({ "examples": [again, example(5)] })).await.expect(200);
    let expected = json!({"accepted": 1, "duplicates": 1, "first_seq": 4, "last_seq": 4, "head_seq": 4});
    assert_eq!(answer, expected);
    let lines = server.client.get(format!("{}{PATH}", server.base)).header("accept", "application/x-ndjson");
    let text = String::from_utf8(server.send(lines).await.bytes).unwrap();
    assert_eq!(text.lines().next(), Some(r#"{"seq":1,"deleted":true}"#));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_cannot_be_deleted() {
    let server = filled().await;
    for path in ["/toms", "/a", "/..%2F..", "?seq=0", "?seq=4", "?seq=9223372036854775807"] {
        server.delete(&format!("{PATH}{path}")).await.problem(404, "example_not_found");
    }
    for query in ["", "?seq=x", "?seq=-1", "?seq=1&seq=2", "?id=tom"] {
        server.delete(&format!("{PATH}{query}")).await.problem(400, "invalid_query");
    }
    server.delete("/v1/learners/dogs/examples/tom").await.problem(404, "learner_not_found");
    server
        .send_body(Method::PUT, &format!("{PATH}/tom"), "application/json", "{}")
        .await
        .problem(405, "method_not_allowed");
    let page = server.get(PATH).await.expect(200);
    assert!(page["examples"].as_array().unwrap().iter().all(|row| row["inputs"].is_object()));
    server.stop().await;
}
