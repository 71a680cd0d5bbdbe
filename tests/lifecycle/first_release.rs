//! Databases of earlier releases (`tests/fixtures`): today's build opens them, and nothing of them is lost or changed.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::server::{PATIENCE, Process};

/// The releases whose databases are kept.
const RELEASES: [&str; 1] = ["first-release"];

/// Answers under idempotency keys are kept this long, so that those of an old fixture are still there.
const KEYS_STAY: [(&str, &str); 1] = [("PERENNIAL_STORAGE__IDEMPOTENCY_DAYS", "100000")];

/// The folder of the fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Unpacks a release's database into a data folder; the database's path.
pub fn unpack(release: &str, data: &Path) -> PathBuf {
    let packed = std::fs::File::open(fixtures().join(format!("{release}.db.gz"))).expect("the fixture is there");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("unpacked");
    let database = data.join("perennial.db");
    std::fs::write(&database, bytes).expect("written");
    database
}

fn documents() -> [Value; 2] {
    let plants = json!({
        "name": "plants",
        "task": {"kind": "classification", "classes": ["fern", "moss", "vine"]},
        "schema": {"features": [
            {"name": "leaf", "kind": "image", "height": 4, "width": 4, "max": 16},
            {"name": "height", "kind": "numeric"},
            {"name": "soil", "kind": "categorical"},
            {"name": "spot", "kind": "vector", "size": 2},
        ]},
        "network": {"kind": "mlp", "hidden": [6]},
        "training": {"publish_rows": 60, "max_passes": 2, "seed": 7},
        "policy": {"kind": "manual"},
    });
    let prices = json!({
        "name": "prices",
        "task": {"kind": "regression"},
        "schema": {"features": [{"name": "area", "kind": "numeric"}, {"name": "town", "kind": "categorical"}]},
        "network": {"kind": "mlp", "hidden": [4]},
        "training": {"publish_rows": 60, "max_passes": 1, "seed": 8},
        "policy": {"kind": "manual"},
    });
    [plants, prices]
}

/// The inputs of a learner's row.
fn inputs(learner: &str, number: usize) -> Value {
    let value = (number as f64 * 0.7).sin();
    if learner == "prices" {
        return json!({"area": 50.0 + 30.0 * value, "town": (["north", "south"])[number % 2]});
    }
    let leaf: Vec<usize> = (0..16).map(|pixel| (pixel * (number % 3 + 1) + number) % 17).collect();
    let mut inputs = json!({
        "leaf": leaf,
        "height": value,
        "soil": (["clay", "sand", "peat", "chalk"])[number % 4],
        "spot": [value, 1.0 - value],
    });
    if number.is_multiple_of(5) {
        inputs["height"] = Value::Null;
    }
    inputs
}

/// Rows `from` to `until` as the body of a post.
fn examples(learner: &str, from: usize, until: usize) -> Value {
    let example = |number: usize| {
        let label = match learner {
            "prices" => json!(100.0 + 40.0 * (number as f64 * 0.7).sin()),
            _ => json!((["fern", "moss", "vine"])[number % 3]),
        };
        json!({"inputs": inputs(learner, number), "label": label, "id": format!("{learner}-{number}")})
    };
    json!({"examples": (from..until).map(example).collect::<Vec<_>>()})
}

async fn post(server: &Process, learner: &str, key: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let request =
        client.post(server.url(&format!("/v1/learners/{learner}/examples"))).header("idempotency-key", key).json(body);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    answer.json().await.expect("JSON")
}

/// What a release says of a learner: all that a later one has to say too.
async fn known(server: &Process, learner: &str) -> Value {
    let path = format!("/v1/learners/{learner}");
    let document = server.get(&path).await;
    let versions = server.get(&format!("{path}/versions?limit=1000")).await;
    let versions = versions["versions"].as_array().expect("versions");
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let keys = ["version", "parent", "cause", "trained_seq", "created_at", "digest"];
            keys.iter().map(|&key| (key.to_owned(), version[key].clone())).collect::<serde_json::Map<_, _>>().into()
        })
        .collect();
    let growth = server.get(&format!("{path}/growth")).await;
    let rows: Vec<Value> = (1000..1008).map(|number| inputs(learner, number)).collect();
    let body = json!({"inputs": rows});
    let (status, answers) = server.request("POST", &format!("{path}/predict"), Some(&body)).await;
    assert_eq!(status, 200, "{answers}");
    json!({
        "head_seq": document["head_seq"],
        "trained_seq": document["trained_seq"],
        "live": document["live"],
        "network": document["network"]["summary"],
        "growths": growth["events"].as_array().expect("events").len(),
        "versions": versions,
        "predict": body,
        "answers": answers,
    })
}

/// Whether `now` says everything that `then` says; numbers of answers may differ in their last digits, because vectors of
/// another width round differently.
fn says(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Object(then), now) => then.iter().all(|(key, value)| says(value, &now[key])),
        (Value::Array(then), Value::Array(now)) => {
            then.len() == now.len() && then.iter().zip(now).all(|(then, now)| says(then, now))
        }
        (Value::Number(then), Value::Number(now)) if then.is_f64() => {
            let (then, now) = (then.as_f64().expect("a number"), now.as_f64().expect("a number"));
            (then - now).abs() <= 1e-5 * then.abs().max(1.0)
        }
        (then, now) => then == now,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_every_release_opens_with_all_it_said_and_training_goes_on() {
    for release in RELEASES {
        let folder = tempfile::tempdir().expect("a folder");
        unpack(release, folder.path());
        let text = std::fs::read_to_string(fixtures().join(format!("{release}.json"))).expect("the fixture is there");
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        let server = Process::start_with(folder.path(), |command| _ = command.envs(KEYS_STAY));
        for (learner, then) in expected["learners"].as_object().expect("learners") {
            server.idle(learner).await;
            let now = known(&server, learner).await;
            assert!(says(then, &now), "{release}: {learner}\nthen {then:#}\nnow {now:#}");
            let body = examples(learner, 0, 100);
            let again = post(&server, learner, "first", &body).await;
            let first = &expected["first_answers"][learner];
            assert!(says(first, &again), "{release}: {learner}: the first answer under a key: {first} {again}");

            let head = then["head_seq"].as_u64().expect("a seq");
            let answer = post(&server, learner, "later", &examples(learner, 2000, 2200)).await;
            assert_eq!(answer["first_seq"], json!(head + 1), "seq goes on dense: {answer}");
            let after = server.idle(learner).await;
            assert_eq!(after["trained_seq"], json!(head + 200), "{after}");
        }
        assert_eq!(server.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a fixture; tests/fixtures/README.md says when"]
async fn make_the_database_of_this_release() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::start_with(folder.path(), |command| _ = command.envs(KEYS_STAY));
    let mut first_answers = serde_json::Map::new();
    let mut learners = serde_json::Map::new();
    for document in documents() {
        let name = document["name"].as_str().expect("a name").to_owned();
        let path = format!("/v1/learners/{name}");
        let (status, answer) = server.request("POST", "/v1/learners", Some(&document)).await;
        assert_eq!(status, 201, "{answer}");
        first_answers.insert(name.clone(), post(&server, &name, "first", &examples(&name, 0, 100)).await);
        for (round, from) in [(1, 100), (2, 200)] {
            post(&server, &name, &format!("round-{round}"), &examples(&name, from, from + 100)).await;
            server.idle(&name).await;
        }
        let order = json!({"wider": {"all": true, "factor": 1.5}});
        let (status, ticket) = server.request("POST", &format!("{path}/growth?wait=60"), Some(&order)).await;
        assert_eq!((status, &ticket["state"]), (200, &json!("applied")), "{ticket}");
        let order = json!({"wider": {"node": "hidden1", "to": 1}});
        let (status, refusal) = server.request("POST", &format!("{path}/growth?wait=60"), Some(&order)).await;
        assert_eq!(status, 422, "{refusal}");
        server.idle(&name).await;
    }
    for document in documents() {
        let name = document["name"].as_str().expect("a name").to_owned();
        server.idle(&name).await;
        learners.insert(name.clone(), known(&server, &name).await);
    }
    assert_eq!(server.terminate(), Some(0));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixture");
    std::fs::create_dir_all(&target).expect("a folder");
    let database = std::fs::read(folder.path().join("perennial.db")).expect("there");
    let packed = std::fs::File::create(target.join("this-release.db.gz")).expect("created");
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &database).expect("written");
    encoder.finish().expect("finished");
    let known = json!({"learners": learners, "first_answers": first_answers});
    std::fs::write(target.join("this-release.json"), format!("{known:#}\n")).expect("written");
}
