//! A client of a fleet: it asks whichever server lives, and tries again.

use std::time::{Duration, Instant};

use perennial::config::Config;
use perennial::store;
use serde_json::{Value, json};

use super::process::Place;

/// How long anything may take before a test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The name of the learner of every test.
pub const LEARNER: &str = "points";

/// A request to one server; status and document.
pub async fn send(
    http: &reqwest::Client,
    url: &str,
    method: &str,
    body: Option<&Value>,
) -> reqwest::Result<(u16, Value)> {
    let mut request = http.request(method.parse().expect("a method"), url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// Asks one living server after the other, beginning with number `first`, until one answers 2xx.
pub async fn ask(servers: &[Place], first: usize, method: &str, path: &str, body: Option<&Value>) -> Value {
    let http = client();
    let start = Instant::now();
    for number in first.. {
        if let Some(url) = servers[number % servers.len()].url() {
            match send(&http, &format!("{url}{path}"), method, body).await {
                Ok((200..=299, answer)) => return answer,
                Ok((status @ 400..=499, answer)) if status != 429 => panic!("{method} {path}: {status} {answer}"),
                // Busy, stopping or gone: the next one.
                Ok(_) | Err(_) => {}
            }
        }
        assert!(start.elapsed() < PATIENCE, "no server answers {method} {path}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("the numbers do not end")
}

/// A client that gives up on a server that is gone.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client")
}

/// What the servers say of the learner.
pub async fn learner(servers: &[Place]) -> Value {
    ask(servers, 0, "GET", &format!("/v1/learners/{LEARNER}"), None).await
}

/// Waits until the learner is as wanted.
pub async fn until(servers: &[Place], wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let document = learner(servers).await;
        if wanted(&document) {
            return document;
        }
        assert!(start.elapsed() < PATIENCE, "it never came so far: {document}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything is learned and nothing is left to do.
pub fn rests(document: &Value) -> bool {
    document["trained_seq"] == document["head_seq"] && document["training"]["state"] == "idle"
}

/// The learner's document.
pub fn document(passes: u32) -> Value {
    json!({
        "name": LEARNER,
        "task": {"kind": "classification", "classes": ["left", "right"]},
        "schema": {"features": [{"name": "x", "kind": "numeric"}, {"name": "y", "kind": "numeric"}]},
        "network": {"kind": "mlp", "hidden": [4]},
        "training": {"max_passes": passes, "publish_rows": 200, "round_wait_ms": 20},
        "policy": {"kind": "manual"},
    })
}

/// The inputs of example `number`.
pub fn inputs(number: u64) -> Value {
    let angle = number as f64 * 0.7;
    json!({"x": angle.sin(), "y": (angle * 1.7).cos()})
}

/// Examples `first` to `last` of the made-up stream.
pub fn examples(first: u64, last: u64) -> Value {
    let example = |number: u64| {
        let label = if (number as f64 * 0.7).sin() > 0.0 { "right" } else { "left" };
        json!({"inputs": inputs(number), "label": label, "id": format!("point-{number}")})
    };
    json!({"examples": (first..=last).map(example).collect::<Vec<Value>>()})
}

/// Checks the stream and the journal in the database: rows `point-1` to `point-{rows}` are there once, places are dense, and
/// every row was offered to the trainer as new exactly once.
pub async fn check(url: &str, rows: u64) {
    let mut config = Config::default();
    config.storage.database = url.to_owned();
    let store = store::open(&config).await.expect("opened");
    let learners = store.learners(None, 10).await.expect("read");
    let learner = learners.first().expect("the learner").id;
    let head = store.head(learner).await.expect("read").0;
    assert_eq!(head, rows, "no row is lost, and none is there twice");
    let labels = store.labels(learner, perennial::stream::Seq(0), perennial::stream::Seq(head)).await.expect("read");
    let places: Vec<u64> = labels.iter().map(|label| label.0.0).collect();
    assert_eq!(places, (1..=head).collect::<Vec<u64>>(), "places are dense");
    let rounds = store.journal(learner, 0, &["round"], 1_000_000).await.expect("read");
    let mut next = 1;
    for record in rounds {
        let event = serde_json::to_value(&record.event).expect("a document");
        let text = event.to_string();
        let at = |key: &str| find(&event, key).unwrap_or_else(|| panic!("no {key} in {text}"));
        assert_eq!(at("first"), next, "every row is offered as new exactly once");
        next = at("last") + 1;
    }
    assert_eq!(next, head + 1, "every row was offered");
    store.close().await;
}

/// A number of a document, wherever it stands.
fn find(document: &Value, key: &str) -> Option<u64> {
    match document {
        Value::Object(fields) => {
            fields.get(key).and_then(Value::as_u64).or_else(|| fields.values().find_map(|value| find(value, key)))
        }
        _ => None,
    }
}

/// The ids that the servers give back, page by page.
pub async fn stored_ids(servers: &[Place]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/v1/learners/{LEARNER}/examples?limit=1000&after={after}");
        let page = ask(servers, 0, "GET", &path, None).await;
        let page = page["examples"].as_array().expect("examples").clone();
        let Some(last) = page.last() else { return ids };
        after = last["seq"].as_u64().expect("a place");
        ids.extend(page.iter().map(|example| example["id"].as_str().expect("an id").to_owned()));
    }
}
