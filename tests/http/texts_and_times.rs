//! Texts and points in time through the API: learned from, pointed at when they are wrong, shown as they came, and added to a
//! learner at work.

use serde_json::{Value, json};

use crate::server::Server;

/// A made-up message and whether it is junk: what tells is one word among seven others, somewhere.
fn message(number: u64) -> (String, &'static str) {
    const PLAIN: [&str; 12] =
        ["lunch", "home", "later", "see", "you", "ok", "train", "late", "the", "at", "mum", "call"];
    const JUNK: [&str; 4] = ["PRIZE", "winner", "Claim", "£1000"];
    let draw = |of: u64, turn: u64| (number * 7_919 + turn * 104_729 + number * number * turn) % of;
    let mut words: Vec<&str> = (0..7).map(|turn| PLAIN[draw(12, turn) as usize]).collect();
    let is_junk = number.is_multiple_of(3);
    if is_junk {
        words.insert(draw(7, 9) as usize, JUNK[draw(4, 10) as usize]);
    }
    (words.join(" "), if is_junk { "yes" } else { "no" })
}

/// Hour `number` of a shop's year, and whether it is open: from Monday to Friday, from nine to five.
fn hour(number: u64) -> (Value, &'static str) {
    let seconds = 1_704_067_200 + 3_600 * number;
    let (hour, weekday) = (number % 24, number / 24 % 7);
    let is_open = (9..17).contains(&hour) && weekday < 5;
    (json!(seconds), if is_open { "yes" } else { "no" })
}

fn document(name: &str, feature: Value, hidden: u64) -> Value {
    json!({
        "name": name,
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "schema": {"features": [feature]},
        "network": {"kind": "mlp", "hidden": [hidden]},
        "training": {"batch": 16, "learning_rate": 0.01, "round_rows": 100, "round_wait_ms": 10, "publish_rows": 100,
            "gate_rows": 100, "max_passes": 6},
        "policy": {"kind": "manual"}
    })
}

/// Posts these rows, has them learned, and says how many of the others are predicted rightly.
async fn accuracy(server: &Server, name: &str, learned: &[(Value, &str)], others: &[(Value, &str)]) -> f64 {
    let example = |(inputs, label): &(Value, &str)| json!({"inputs": inputs, "label": label});
    for part in learned.chunks(100) {
        let examples: Vec<Value> = part.iter().map(example).collect();
        let path = format!("/v1/learners/{name}/examples");
        server.post(&path, &json!({ "examples": examples })).await.expect(200);
    }
    server.settle(name).await;
    let inputs: Vec<&Value> = others.iter().map(|(inputs, _)| inputs).collect();
    let answer = server.post(&format!("/v1/learners/{name}/predict"), &json!({ "inputs": inputs })).await.expect(200);
    let predictions = answer["predictions"].as_array().expect("predictions");
    let right = predictions.iter().zip(others).filter(|(prediction, (_, label))| prediction["label"] == **label);
    right.count() as f64 / others.len() as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_told_apart_by_their_words() {
    let server = Server::start().await;
    let feature = json!({"name": "message", "kind": "text", "buckets": 96, "words": [1, 1]});
    server.post("/v1/learners", &document("mail", feature, 8)).await.expect(201);
    let row = |number: u64| {
        let (text, label) = message(number);
        (json!({ "message": text }), label)
    };
    let learned: Vec<_> = (0..500).map(row).collect();
    let others: Vec<_> = (500..700).map(row).collect();
    let right = accuracy(&server, "mail", &learned, &others).await;
    assert!(right >= 0.9, "two thirds are `no`, and {right} were right");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_hours_are_learned_from_the_clock() {
    let server = Server::start().await;
    let feature = json!({"name": "at", "kind": "timestamp", "parts": ["time_of_day", "day_of_week"]});
    server.post("/v1/learners", &document("shop", feature, 24)).await.expect(201);
    let row = |number: u64| {
        let (at, label) = hour(number);
        (json!({ "at": at }), label)
    };
    // Three weeks, and the one that follows.
    let learned: Vec<_> = (0..504).map(row).collect();
    let others: Vec<_> = (504..672).map(row).collect();
    let right = accuracy(&server, "shop", &learned, &others).await;
    assert!(right >= 0.88, "three quarters are `no`, and {right} were right");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_texts_and_times_are_pointed_at_and_never_quoted() {
    let server = Server::start().await;
    let feature = json!({"name": "message", "kind": "text", "max_chars": 20});
    let mut learner = document("mail", feature, 4);
    let features = learner["schema"]["features"].as_array_mut().expect("features");
    features.push(json!({"name": "at", "kind": "timestamp"}));
    server.post("/v1/learners", &learner).await.expect(201);
    let examples = json!({"examples": [
        {"inputs": {"message": "a secret that is longer than it may be", "at": 0}, "label": "no"},
        {"inputs": {"message": 7, "at": "a secret day"}, "label": "no"},
        {"inputs": {"at": "2025-02-30T00:00:00Z"}, "label": "no"},
        {"inputs": {"message": null, "at": 1_700_000_000_000u64}, "label": "no"},
    ]});
    let problem = server.post("/v1/learners/mail/examples", &examples).await.problem(422, "invalid_rows");
    let errors = problem["errors"].as_array().unwrap();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    let expected = [(0, "message"), (1, "at"), (1, "message"), (2, "at"), (2, "message"), (3, "at"), (3, "message")];
    assert_eq!(pointers, expected.map(|(row, name)| format!("/examples/{row}/inputs/{name}")));
    assert!(!problem.to_string().contains("secret"), "{problem}");

    for (key, value) in
        [("words", json!([2, 1])), ("buckets", json!(0)), ("parts", json!("trend")), ("max_chars", json!("a"))]
    {
        let mut wrong = document("other", json!({"name": "message", "kind": "text"}), 4);
        wrong["schema"]["features"][0][key] = value;
        let problem = server.post("/v1/learners", &wrong).await.problem(422, "invalid_document");
        assert_eq!(problem["errors"][0]["pointer"], format!("/schema/features/0/{key}"), "{problem}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_and_times_come_to_a_learner_at_work_and_are_shown_as_they_came() {
    let server = Server::start().await;
    server.post("/v1/learners", &document("mail", json!({"name": "x", "kind": "numeric"}), 4)).await.expect(201);
    let old: Vec<Value> = (0..40).map(|x| json!({"inputs": {"x": x}, "label": "no"})).collect();
    server.post("/v1/learners/mail/examples", &json!({ "examples": old })).await.expect(200);
    let order = json!({"inputs": {"features": [
        {"name": "message", "kind": "text", "buckets": 32, "characters": [2, 4]},
        {"name": "at", "kind": "timestamp", "offset_minutes": 60},
    ]}});
    let event = server.post("/v1/learners/mail/growth", &order).await.expect(200);
    assert_eq!(event["certificate"]["max_rel_diff"], 0.0, "{event}");
    server.settle("mail").await;
    let shown = server.get("/v1/learners/mail").await.expect(200);
    // The number and its indicator; the buckets; four circles, the trend and the indicator.
    assert_eq!(shown["network"]["summary"], "44-4-2", "{shown}");
    let feature = &shown["schema"]["features"][1];
    let expected = json!({"name": "message", "kind": "text", "buckets": 32, "characters": [2, 4], "lowercase": true,
        "max_chars": 10_000, "optional": true});
    assert_eq!(*feature, expected);

    let (text, label) = message(3);
    let new = json!({"inputs": {"x": 1, "message": text, "at": "2024-01-01T09:30:00"}, "label": label});
    let neither = json!({"inputs": {"x": 2}, "label": "no"});
    server.post("/v1/learners/mail/examples", &json!({"examples": [new, neither]})).await.expect(200);
    server.settle("mail").await;
    let stored = server.get("/v1/learners/mail/examples?after=40").await.expect(200);
    let inputs = |index: usize| stored["examples"][index]["inputs"].clone();
    assert_eq!(inputs(0), json!({"x": 1, "message": text, "at": "2024-01-01T08:30:00Z"}));
    assert_eq!(inputs(1), json!({"x": 2, "message": null, "at": null}));
    server.stop().await;
}
