//! Examples: stored once, in order, and read back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, example, inputs};

const PATH: &str = "/v1/learners/cats/examples";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_come_back_as_they_went_in() {
    let server = Server::start().await;
    server.create("cats").await;
    let answer = server.ingest("cats", 1, 5).await;
    assert_eq!(answer, json!({"accepted": 5, "duplicates": 0, "first_seq": 1, "last_seq": 5, "head_seq": 5}));

    let page = server.get(&format!("{PATH}?after=1&limit=3")).await.expect(200);
    let seqs: Vec<u64> = page["examples"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!((seqs, &page["next_after"]), (vec![2, 3, 4], &json!(4)));
    let third = &page["examples"][1];
    assert_eq!(third["label"], example(3)["label"]);
    assert_eq!(third["inputs"]["colour"], inputs(3)["colour"]);
    assert_eq!(third["inputs"]["size"], inputs(3)["size"]);
    let last = server.get(&format!("{PATH}?after=4")).await.expect(200);
    assert_eq!((last["examples"].as_array().unwrap().len(), &last["next_after"]), (1, &Value::Null));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_taken_and_given() {
    let server = Server::start().await;
    server.create("cats").await;
    let lines: String = (1..=10).map(|number| format!("{}\n", example(number))).collect();
    let answer = server.send_body(Method::POST, PATH, "application/x-ndjson", lines).await.expect(200);
    assert_eq!(answer["accepted"], 10);

    let request = server.client.get(format!("{}{PATH}", server.base)).header("accept", "application/x-ndjson");
    let answer = server.send(request).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = String::from_utf8(answer.bytes).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[9]["seq"], 10);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_stored_once() {
    let server = Server::start().await;
    server.create("cats").await;
    let mut examples: Vec<Value> = (1..=3).map(example).collect();
    for (index, example) in examples.iter_mut().enumerate() {
        example["id"] = json!(format!("row-{index}"));
    }
    server.post(PATH, &json!({ "examples": examples[..2] })).await.expect(200);
    let again = server.post(PATH, &json!({ "examples": examples })).await.expect(200);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(1), &json!(2)));
    assert_eq!(again["head_seq"], 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_its_first_answer_and_another_body_is_refused() {
    let server = Server::start().await;
    server.create("cats").await;
    let send = async |first: u64, key: &str| {
        let body = json!({ "examples": [example(first)] }).to_string();
        let request = server.client.post(format!("{}{PATH}", server.base)).body(body);
        server.send(request.header("content-type", "application/json").header("idempotency-key", key)).await
    };
    let first = send(1, "key-1").await.expect(200);
    server.ingest("cats", 5, 9).await;
    assert_eq!(send(1, "key-1").await.expect(200), first);
    send(2, "key-1").await.problem(422, "key_reused");
    send(1, "").await.problem(400, "invalid_header");
    send(1, &"k".repeat(201)).await.problem(400, "invalid_header");
    assert_eq!(server.get("/v1/learners/cats").await.expect(200)["head_seq"], 6);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so_and_loses_nothing_it_accepted() {
    let mut config = crate::server::config();
    config.ingest.queue = 1;
    let server = std::sync::Arc::new(Server::start_with(config).await);
    server.create("cats").await;
    let (mut accepted, mut refused) = (0, 0);
    while refused == 0 {
        let sending: Vec<_> = (0..64)
            .map(|number| {
                let server = server.clone();
                tokio::spawn(async move { server.post(PATH, &json!({"examples": [example(number)]})).await })
            })
            .collect();
        for task in sending {
            let answer = task.await.unwrap();
            if answer.status == 200 {
                accepted += 1;
            } else {
                assert_eq!(answer.header("retry-after"), "1");
                answer.problem(429, "queue_full");
                refused += 1;
            }
        }
    }
    assert_eq!(server.get("/v1/learners/cats").await.expect(200)["head_seq"], accepted);
    std::sync::Arc::into_inner(server).unwrap().stop().await;
}
