//! Features that are added to a learner at work: unknown before the growth, accepted from its commit on, learned from the
//! rows that have them; what was stored, and what older clients send, stays good.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::growth::assert_same_probabilities;
use crate::load::Load;
use crate::server::{Server, example, inputs, learner};

const PATH: &str = "/v1/learners/cats";

/// Example `number` with the features that growth brings: the label is the sign of `humidity` and of nothing else.
fn grown_example(number: u64) -> Value {
    // Of few digits: what is read back is what was sent, also in 32 bits.
    let humidity = ((number as f64 * 1.9).cos() * 64.0).round() / 64.0;
    let mut inputs = inputs(number);
    inputs["humidity"] = json!(humidity);
    inputs["a_site"] = json!(if number.is_multiple_of(3) { "north" } else { "south" });
    inputs["spectrum"] = json!([humidity, 0.25, -0.5, number as f64 + 0.5]);
    json!({ "inputs": inputs, "label": if humidity > 0.0 { "yes" } else { "no" } })
}

fn order() -> Value {
    json!({"inputs": {"features": [
        {"name": "humidity", "kind": "numeric"},
        {"name": "a_site", "kind": "categorical"},
        {"name": "spectrum", "kind": "vector", "size": 4},
    ]}})
}

async fn start() -> Server {
    let server = Server::start().await;
    let mut document = learner("cats");
    document["network"]["hidden"] = json!([16]);
    document["training"]["learning_rate"] = json!(0.01);
    document["training"]["round_rows"] = json!(64);
    document["training"]["publish_rows"] = json!(256);
    server.post("/v1/learners", &document).await.expect(201);
    server
}

async fn post(server: &Server, examples: &[Value]) -> Value {
    server.post(&format!("{PATH}/examples"), &json!({ "examples": examples })).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_are_added_while_old_rows_and_predictions_go_on() {
    let server = Arc::new(start().await);
    let load = Load::start(&server, "cats", 1, example);
    server.until("cats", |learner| learner["trained_seq"].as_u64() >= Some(64)).await;

    let early = json!({"examples": [grown_example(1)]});
    let problem = server.post(&format!("{PATH}/examples"), &early).await.problem(422, "invalid_rows");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["a_site", "humidity", "spectrum"].map(|name| format!("/examples/0/inputs/{name}")));
    let preview = server.post(&format!("{PATH}/growth?dry_run=true"), &order()).await.expect(200);
    server.post(&format!("{PATH}/examples"), &early).await.problem(422, "invalid_rows");

    let event = server.post(&format!("{PATH}/growth"), &order()).await.expect(200);
    assert_eq!((&event["op"], &event["certificate"]["max_rel_diff"]), (&json!("inputs"), &json!(0.0)), "{event}");
    let added = |plan: &Value| plan["parameters_after"].as_u64().unwrap() - plan["parameters_before"].as_u64().unwrap();
    assert_eq!(added(&event["plan"]), added(&preview["plan"]));
    let shown = server.get(PATH).await.expect(200);
    let features = shown["schema"]["features"].as_array().unwrap();
    let names: Vec<&str> = features.iter().map(|feature| feature["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["size", "colour", "shape", "humidity", "a_site", "spectrum"]);
    assert_eq!(features[5], json!({"name": "spectrum", "kind": "vector", "size": 4, "optional": true}));
    let again = server.post(&format!("{PATH}/growth"), &order()).await.problem(422, "growth_refused");
    assert!(again["detail"].as_str().unwrap().contains("`humidity`"), "{again}");

    // The teacher passes over what it does not know, and the student computes what the teacher did, whatever that is.
    let path = format!("{PATH}/predict");
    let mut answers = Vec::new();
    for (version, row) in [
        ("teacher", inputs(5)),
        ("teacher", grown_example(5)["inputs"].clone()),
        ("version", grown_example(5)["inputs"].clone()),
    ] {
        let body = json!({"inputs": [row], "version": event[version]});
        answers.push(server.post(&path, &body).await.expect(200));
    }
    assert_eq!(answers[0], answers[1]);
    assert_same_probabilities(&answers[0], &answers[2]);
    load.stop().await;
    Arc::into_inner(server).expect("the load has ended").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_both_shapes_are_stored_as_they_come() {
    let server = start().await;
    server.ingest("cats", 1, 2).await;
    let read = || async { server.get(&format!("{PATH}/examples")).await.expect(200)["examples"].clone() };
    let before = read().await;
    server.post(&format!("{PATH}/growth"), &order()).await.expect(200);
    let stored = read().await;
    for (old, now) in before.as_array().unwrap().iter().zip(stored.as_array().unwrap()) {
        for (feature, value) in old["inputs"].as_object().unwrap() {
            assert_eq!(&now["inputs"][feature], value);
        }
        assert_eq!(now["inputs"]["spectrum"], Value::Null);
    }
    let answer = post(&server, &[grown_example(3), example(4)]).await;
    assert_eq!((&answer["first_seq"], &answer["last_seq"]), (&json!(3), &json!(4)));
    let stored = read().await;
    for feature in ["humidity", "a_site", "spectrum"] {
        assert_eq!(stored[2]["inputs"][feature], grown_example(3)["inputs"][feature]);
        assert_eq!(stored[3]["inputs"][feature], Value::Null);
    }
    // What is shown is accepted again, nulls and all.
    post(&server, &[json!({"inputs": stored[0]["inputs"], "label": "no"})]).await;
    server.patch(PATH, &json!({"training": {"learning_rate": 0.02}})).await.expect(200);
    post(&server, &[grown_example(6)]).await;
    let wrong = json!({"examples": [{"inputs": {"size": 1, "shape": [1, 2], "spectrum": [1]}, "label": "no"}]});
    let problem = server.post(&format!("{PATH}/examples"), &wrong).await.problem(422, "invalid_rows");
    assert_eq!(problem["errors"][0]["pointer"], "/examples/0/inputs/spectrum");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_feature_is_learned_from_the_rows_that_have_it() {
    let server = start().await;
    server.ingest("cats", 1, 300).await;
    server.settle("cats").await;
    server.post(&format!("{PATH}/growth"), &order()).await.expect(200);
    for start in (301..1_901).step_by(400) {
        // Every fifth row is of an older client.
        let of = |number: u64| if number.is_multiple_of(5) { example(number) } else { grown_example(number) };
        post(&server, &(start..start + 400).map(of).collect::<Vec<_>>()).await;
    }
    server.settle("cats").await;
    for (what, of) in [("with the feature", grown_example as fn(u64) -> Value), ("without it", example)] {
        let unseen: Vec<Value> = (10_000..10_200).map(of).collect();
        let rows: Vec<Value> = unseen.iter().map(|example| example["inputs"].clone()).collect();
        let answer = server.post(&format!("{PATH}/predict"), &json!({ "inputs": rows })).await.expect(200);
        let answers = answer["predictions"].as_array().unwrap();
        let right = unseen.iter().zip(answers).filter(|(example, answer)| example["label"] == answer["label"]).count();
        assert!(right >= 170, "{right} of 200 right {what}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_are_at_fault_are_pointed_at() {
    let server = start().await;
    for query in ["", "?dry_run=true"] {
        let path = format!("{PATH}/growth{query}");
        let faulty =
            json!({"inputs": {"features": [{"name": "a", "kind": "numeric"}, {"name": "v", "kind": "vector"}]}});
        let problem = server.post(&path, &faulty).await.problem(422, "invalid_growth");
        assert_eq!(problem["errors"][0]["pointer"], "/inputs/features/1");
        let taken = json!({"inputs": {"features": [{"name": "size", "kind": "numeric"}]}});
        server.post(&path, &taken).await.problem(422, "growth_refused");
        let large = json!({"inputs": {"features": [{"name": "v", "kind": "vector", "size": 900}]}});
        let problem = server.post(&path, &large).await.problem(422, "growth_refused");
        assert_eq!(problem["refusal"]["code"], "budget");
    }
    server.stop().await;
}
