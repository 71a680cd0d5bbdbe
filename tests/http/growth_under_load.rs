//! Growth while examples stream in and predictions are asked for: nobody notices but by what the network has learned.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::load::Load;
use crate::server::{Server, example, learner};

const PATH: &str = "/v1/learners/cats";

/// The learner with more room and a faster rate.
fn document() -> Value {
    let mut document = learner("cats");
    document["policy"]["max_parameters"] = json!(50_000);
    document["network"]["hidden"] = json!([8]);
    document["training"]["learning_rate"] = json!(0.01);
    // Most commits are those of growths: the disk is not what is tested.
    document["training"]["round_rows"] = json!(64);
    document["training"]["publish_rows"] = json!(256);
    document
}

/// Every place of the stream, page by page.
async fn places(server: &Server) -> Vec<u64> {
    let mut places: Vec<u64> = Vec::new();
    loop {
        let after = places.last().copied().unwrap_or(0);
        let page = server.get(&format!("{PATH}/examples?limit=1000&after={after}")).await.expect(200);
        let page = page["examples"].as_array().unwrap();
        if page.is_empty() {
            return places;
        }
        places.extend(page.iter().map(|example| example["seq"].as_u64().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growths_in_a_row_under_load_fail_no_request_and_keep_the_function() {
    let server = Arc::new(Server::start().await);
    server.post("/v1/learners", &document()).await.expect(201);
    let load = Load::start(&server, "cats", 1, example);
    server.until("cats", |learner| learner["trained_seq"].as_u64() >= Some(64)).await;
    let orders = [
        json!({"wider": {"all": true, "factor": 2}}),
        json!({"deeper": {"after": "hidden1"}}),
        json!({"wider": {"all": true, "factor": 1.5, "split": "paper"}}),
        json!({"deeper": {"after": "hidden1", "kind": "residual"}}),
        json!({"wider": {"node": "hidden1", "to": 32, "split": "fresh"}}),
    ];
    let mut seq = 0;
    for order in &orders {
        let event = server.post(&format!("{PATH}/growth"), order).await.expect(200);
        assert!(event["seq"].as_u64().unwrap() >= seq, "growths follow the stream: {event}");
        seq = event["seq"].as_u64().unwrap();
        // The next growth finds a network that has learned since.
        server.until("cats", |learner| learner["trained_seq"].as_u64() >= Some(seq + 32)).await;
    }
    let head = load.stop().await;
    server.settle("cats").await;

    assert_eq!(places(&server).await, (1..=head).collect::<Vec<_>>(), "dense");
    let history = server.get(&format!("{PATH}/growth?limit=1000")).await.expect(200);
    let events = history["events"].as_array().unwrap();
    let manual = events.iter().filter(|event| event["trigger"] == "manual").count();
    assert_eq!(manual, orders.len());
    for event in events {
        let certificate = &event["certificate"];
        assert_eq!(certificate["preserved"], true, "{event}");
        assert!(certificate["max_rel_diff"].as_f64().unwrap() <= 1e-5, "{event}");
    }
    assert_eq!(history["refusals"], json!([]));
    Arc::into_inner(server).expect("the load has ended").stop().await;
}
