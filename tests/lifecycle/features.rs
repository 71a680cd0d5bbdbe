//! kill -9 around growths of inputs: the schema that is accepted and the network that takes it die and come back together.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{PATIENCE, Process};

const PATH: &str = "/v1/learners/plants";

/// How often a feature is added and the server killed.
const ROUNDS: usize = 4;

/// Twenty examples with these features beside `x`; the label is the sign of the newest.
fn examples(round: usize, features: &[String]) -> Value {
    let example = |index: usize| {
        let value = ((index + 20 * round) as f64 * 0.7).sin();
        let mut inputs = json!({ "x": value });
        for feature in features {
            inputs[feature] = json!(value);
        }
        json!({"inputs": inputs, "label": if value > 0.0 { "up" } else { "down" }})
    };
    json!({"examples": (0..20).map(example).collect::<Vec<_>>()})
}

/// The features beside `x` that the learner shows.
fn features(learner: &Value) -> Vec<String> {
    let features = learner["schema"]["features"].as_array().expect("features");
    features[1..].iter().map(|feature| feature["name"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until an order is carried out; the learner's features then.
async fn applied(server: &Process, order: usize) -> Vec<String> {
    let start = Instant::now();
    loop {
        let ticket = server.get(&format!("{PATH}/growth/{order}")).await;
        match ticket["state"].as_str().expect("a state") {
            "applied" => {
                assert_eq!(ticket["event"]["certificate"]["max_rel_diff"], 0.0, "{ticket}");
                return features(&server.get(PATH).await);
            }
            state => assert_eq!(state, "planned", "{ticket}"),
        }
        assert!(start.elapsed() < PATIENCE, "the order is never carried out: {ticket}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growth_of_inputs_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wanted: Vec<String> = Vec::new();
    let mut stored = 0;
    for round in 0..ROUNDS {
        let server = Process::start(folder.path());
        if round == 0 {
            let document = json!({
                "name": "plants",
                "task": {"kind": "classification", "classes": ["down", "up"]},
                "schema": {"features": [{"name": "x", "kind": "numeric"}]},
                "network": {"kind": "mlp", "hidden": [4]},
                "policy": {"kind": "manual"},
            });
            let (status, answer) = server.request("POST", "/v1/learners", Some(&document)).await;
            assert_eq!(status, 201, "{answer}");
        }
        // What is shown right after the start is what is accepted, whether or not the newest order was carried out.
        let shown = features(&server.get(PATH).await);
        assert!(wanted.starts_with(&shown) && shown.len() + 1 >= wanted.len(), "{shown:?} of {wanted:?}");
        let body = examples(round, &shown);
        let (status, answer) = server.request("POST", &format!("{PATH}/examples"), Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
        stored += 20;
        let row = json!({"inputs": [body["examples"][0]["inputs"]]});
        let (status, answer) = server.request("POST", &format!("{PATH}/predict"), Some(&row)).await;
        assert_eq!(status, 200, "{answer}");
        if round > 0 {
            assert_eq!(applied(&server, round).await, wanted);
        }
        // Names sort backwards: what comes last in the schema would come first in an order of names.
        wanted.push(format!("f{}", 9 - round));
        let order = json!({"inputs": {"features": [{"name": wanted[round], "kind": "numeric"}]}});
        let (status, answer) = server.request("POST", &format!("{PATH}/growth?wait=0"), Some(&order)).await;
        assert!(status == 202 || status == 200, "{answer}");
        // A different number of looks each round, so that the kill comes before, while or after the order is carried out.
        for _ in 0..8 * round {
            server.get(&format!("{PATH}/growth/{}", round + 1)).await;
        }
        server.kill();
    }
    let server = Process::start(folder.path());
    assert_eq!(applied(&server, ROUNDS).await, wanted);
    let body = examples(ROUNDS, &wanted);
    let (status, answer) = server.request("POST", &format!("{PATH}/examples"), Some(&body)).await;
    assert_eq!((status, &answer["head_seq"]), (200, &json!(stored + 20)), "{answer}");
    let learner = server.idle("plants").await;
    assert_eq!(learner["network"]["summary"], format!("{}-4-2", 2 * (1 + ROUNDS)));
    let history = server.get(&format!("{PATH}/growth")).await;
    assert_eq!(history["events"].as_array().map(Vec::len), Some(ROUNDS), "each order was carried out once");
    assert_eq!(server.terminate(), Some(0));
}
