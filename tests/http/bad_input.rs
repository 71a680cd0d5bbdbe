//! Bad input: each a problem that points at the fault, nothing stored, never a 500.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, example, inputs, learner};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A body, the status and code that it gets, and where the problem points (empty: nowhere in particular).
struct Case {
    what: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    pointer: &'static str,
}

fn case(what: &'static str, body: impl ToString, answer: (u16, &'static str), pointer: &'static str) -> Case {
    Case { what, body: body.to_string(), status: answer.0, code: answer.1, pointer }
}

/// An `examples` body whose second example has this in place of the value at `pointer`.
fn examples_with(pointer: &str, value: Value) -> Value {
    let mut body = json!({"examples": [example(1), example(2)]});
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

const INVALID: (u16, &str) = (422, "invalid_rows");
const MALFORMED: (u16, &str) = (400, "malformed_body");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_examples_are_pointed_at_and_nothing_is_stored() {
    let mut config = crate::server::config();
    config.limits.examples = 50;
    config.limits.body_bytes = 100_000;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let text = |body: &str| body.to_owned();
    let extra = |pointer: &str, key: &str| {
        let mut body = json!({"examples": [example(1), example(2)]});
        body.pointer_mut(pointer).unwrap()[key] = json!(1);
        body
    };
    let without = |key: &str| {
        let mut body = json!({"examples": [example(1), example(2)]});
        body["examples"][1].as_object_mut().unwrap().remove(key);
        body
    };
    let size =
        |number: &str| format!(r#"{{"examples":[{{"inputs":{{"size":{number},"shape":[1,2]}},"label":"no"}}]}}"#);
    let cases = [
        case(
            "a string for a number",
            examples_with("/examples/1/inputs/size", json!("big")),
            INVALID,
            "/examples/1/inputs/size",
        ),
        case(
            "a number for a category",
            examples_with("/examples/1/inputs/colour", json!([1])),
            INVALID,
            "/examples/1/inputs/colour",
        ),
        case(
            "a number for a vector",
            examples_with("/examples/1/inputs/shape", json!(3)),
            INVALID,
            "/examples/1/inputs/shape",
        ),
        case(
            "a short vector",
            examples_with("/examples/1/inputs/shape", json!([1.0])),
            INVALID,
            "/examples/1/inputs/shape",
        ),
        case(
            "a word in a vector",
            examples_with("/examples/1/inputs/shape", json!([1.0, "x"])),
            INVALID,
            "/examples/1/inputs/shape/1",
        ),
        case("an unknown feature", extra("/examples/1/inputs", "weight"), INVALID, "/examples/1/inputs/weight"),
        case("an unknown key", extra("/examples/1", "wait"), INVALID, "/examples/1/wait"),
        case("an unknown key of the body", extra("", "wait"), INVALID, "/wait"),
        case("an unknown class", examples_with("/examples/1/label", json!("perhaps")), INVALID, "/examples/1/label"),
        case("a list for a label", examples_with("/examples/1/label", json!([])), INVALID, "/examples/1/label"),
        case("no label", without("label"), INVALID, "/examples/1/label"),
        case("no inputs", without("inputs"), INVALID, "/examples/1/inputs"),
        case("a number for an id", extra("/examples/1", "id"), INVALID, "/examples/1/id"),
        case("a number for inputs", examples_with("/examples/1/inputs", json!(7)), INVALID, "/examples/1/inputs"),
        case("a number for an example", examples_with("/examples/1", json!(7)), INVALID, "/examples/1"),
        case("no examples", json!({"examples": []}), INVALID, "/examples"),
        case("nothing", json!({}), INVALID, ""),
        case("beyond f32", size("1e39"), INVALID, "/examples/0/inputs/size"),
        case("beyond f64", size("1e999"), INVALID, "/examples/0/inputs/size"),
        case("NaN", size("NaN"), MALFORMED, ""),
        case("Infinity", size("-Infinity"), MALFORMED, ""),
        case("no JSON", text("hello"), MALFORMED, ""),
        case("half a document", text(r#"{"examples":["#), MALFORMED, ""),
        case("no UTF-8 escapes", text("{\"examples\":\"\u{0}\"}"), MALFORMED, ""),
        case("deep JSON", "[".repeat(50_000), MALFORMED, ""),
        case(
            "deep JSON in an input",
            examples_with("/examples/1/inputs/size", json!(null)).to_string().replace("null", &"[".repeat(9_000)),
            MALFORMED,
            "",
        ),
        case("too many rows", json!({"examples": vec![example(1); 51]}), (413, "too_many_rows"), ""),
        case("too many bytes", "x".repeat(100_001), (413, "body_too_large"), ""),
    ];
    check(&server, "/v1/learners/cats/examples", JSON, cases).await;
    let line = |bad: &str| {
        let good = example(1).to_string();
        (1..=10).map(|number| format!("{}\n", if number == 7 { bad } else { good.as_str() })).collect::<String>()
    };
    let cases = [
        case("a malformed line", line("{\"inputs\":"), MALFORMED, "/6"),
        case(
            "a line at fault",
            line(r#"{"inputs":{"size":"x","shape":[1,2]},"label":"no"}"#),
            INVALID,
            "/6/inputs/size",
        ),
        case("no line", "", INVALID, ""),
        case("too long a line", format!("{{\"inputs\":\"{}\"", "x".repeat(100_001)), (413, "body_too_large"), ""),
    ];
    check(&server, "/v1/learners/cats/examples", NDJSON, cases).await;
    let xml = server.send_body(Method::POST, "/v1/learners/cats/examples", "text/xml", "<a/>").await;
    xml.problem(415, "unsupported_media_type");
    server
        .post("/v1/learners/dogs/examples", &json!({"examples": [example(1)]}))
        .await
        .problem(404, "learner_not_found");
    assert_eq!(server.get("/v1/learners/cats").await.expect(200)["head_seq"], 0, "nothing was stored");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_learner_documents_are_pointed_at_and_create_nothing() {
    let server = Server::start().await;
    let with = |pointer: &str, value: Value| {
        let mut document = learner("cats");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        document
    };
    let without = |key: &str| {
        let mut document = learner("cats");
        document.as_object_mut().unwrap().remove(key);
        document
    };
    let twice = json!([{"name": "a", "kind": "numeric"}, {"name": "a", "kind": "numeric"}]);
    let answer = (422, "invalid_document");
    let cases = [
        case("an unknown key", with("/speed", json!(1)), answer, "/speed"),
        case("an unknown key below", with("/training/speed", json!(1)), answer, "/training/speed"),
        case("an unknown kind of network", with("/network/kind", json!("perceptron")), answer, "/network/kind"),
        case("a word for a number", with("/training/batch", json!("many")), answer, "/training/batch"),
        case("a batch of none", with("/training/batch", json!(0)), answer, "/training/batch"),
        case("no task", without("task"), answer, ""),
        case("no schema", without("schema"), answer, ""),
        case("no features", with("/schema/features", json!([])), answer, "/schema/features"),
        case("a feature twice", with("/schema/features", twice), answer, "/schema/features/1/name"),
        case(
            "an absurd image",
            with("/schema/features/2", json!({"name": "i", "kind": "image", "height": 1_000_000, "width": 1_000_000})),
            answer,
            "/schema/features",
        ),
        case("one class", with("/task/classes", json!(["a"])), answer, "/task/classes"),
        case("a class twice", with("/task/classes", json!(["a", "a"])), answer, "/task/classes/1"),
        case(
            "an absurd network",
            with("/network/hidden", json!([4_000_000_000_u64, 4_000_000_000_u64])),
            answer,
            "/network",
        ),
        case("a layer of none", with("/network/hidden/0", json!(0)), answer, "/network"),
        case("ten thousand layers", with("/network/hidden", json!(vec![1; 10_000])), answer, "/network"),
        case("more than its budget", with("/network/hidden", json!([5_000])), answer, "/network"),
        case("an evil name", with("/name", json!("../../etc")), answer, "/name"),
        case("a name of spaces", with("/name", json!("   ")), answer, "/name"),
        case("a long name", with("/name", json!("n".repeat(65))), answer, "/name"),
        case("no object", json!([1]), answer, ""),
        case("no JSON", "name = \"cats\"", MALFORMED, ""),
        case("deep JSON", "[".repeat(50_000), MALFORMED, ""),
    ];
    check(&server, "/v1/learners", JSON, cases).await;
    assert_eq!(server.get("/v1/learners").await.expect(200)["learners"], json!([]), "nothing was created");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_predictions_are_pointed_at() {
    let mut config = crate::server::config();
    config.limits.predict_rows = 10;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let with = |value: Value| json!({"inputs": [inputs(1), value]});
    let cases = [
        case("an unknown feature", with(json!({"weight": 1})), INVALID, "/inputs/1/weight"),
        case("a short vector", with(json!({"shape": [1]})), INVALID, "/inputs/1/shape"),
        case("a number for a row", with(json!(1)), INVALID, "/inputs/1"),
        case("no rows", json!({"inputs": []}), INVALID, "/inputs"),
        case("an unknown key", json!({"inputs": [inputs(1)], "tpo": 1}), INVALID, "/tpo"),
        case("half a version", json!({"inputs": [inputs(1)], "version": 1.5}), INVALID, "/version"),
        case("no such version", json!({"inputs": [inputs(1)], "version": 99}), (404, "version_not_found"), ""),
        case("too many rows", json!({"inputs": vec![inputs(1); 11]}), (413, "too_many_rows"), ""),
        case("no JSON", "inputs", MALFORMED, ""),
    ];
    check(&server, "/v1/learners/cats/predict", JSON, cases).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_growth_orders_are_pointed_at_and_ordered_nothing() {
    let server = Server::start().await;
    server.create("cats").await;
    let answer = (422, "invalid_growth");
    let cases = [
        case("two orders", json!({"auto": true, "classes": ["a"]}), answer, ""),
        case("no order", json!({}), answer, ""),
        case("a factor below one", json!({"wider": {"all": true, "factor": 0.5}}), answer, "/wider/factor"),
        case("an unknown key", json!({"wider": {"all": true, "factor": 2, "by": 3}}), answer, "/wider/by"),
        case("no JSON", "wider", MALFORMED, ""),
    ];
    check(&server, "/v1/learners/cats/growth", JSON, cases).await;
    server.get("/v1/learners/cats/growth/1").await.problem(404, "growth_not_found");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evil_paths_and_queries_find_nothing() {
    let server = Server::start().await;
    server.create("cats").await;
    for name in ["dogs", "Cats", "..%2F..%2Fetc", "%00", "%ff", "cats%20", "'%3B--", &"n".repeat(5_000)] {
        for rest in ["", "/examples", "/versions/1", "/growth"] {
            let answer = server.get(&format!("/v1/learners/{name}{rest}")).await;
            assert_eq!(answer.status, 404, "{name}{rest}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    for query in [
        "/v1/learners?limit=0",
        "/v1/learners?limit=1001",
        "/v1/learners?limit=-1",
        "/v1/learners?limit=1&limit=2",
        "/v1/learners?offset=1",
        "/v1/learners?after=%2E%2E%2Fx",
        "/v1/learners/cats/examples?after=9999999999999999999",
        "/v1/learners/cats/examples?after=x",
        "/v1/learners/cats/growth?limit=1e3",
        "/v1/learners/cats?verbose=true",
    ] {
        server.get(query).await.problem(400, "invalid_query");
    }
    let row = json!({"inputs": [inputs(1)]});
    server.post("/v1/learners/cats/predict?top=0", &row).await.problem(400, "invalid_query");
    let order = json!({"auto": true});
    server.post("/v1/learners/cats/growth?wait=3600", &order).await.problem(400, "invalid_query");
    server.post("/v1/learners/cats/growth?dry_run=yes", &order).await.problem(400, "invalid_query");
    server.post("/v1/learners/cats/examples?partial=1", &json!({})).await.problem(400, "invalid_query");
    server.stop().await;
}

/// Sends every case and tells all that were not answered as they should be.
async fn check(server: &Server, path: &str, media_type: &str, cases: impl IntoIterator<Item = Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let answer = server.send_body(Method::POST, path, media_type, case.body).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        if answer.status != case.status {
            wrong.push(format!("{}: {} {text}", case.what, answer.status));
            continue;
        }
        let problem = answer.problem(case.status, case.code);
        let errors = problem["errors"].as_array().into_iter().flatten();
        let pointers: Vec<&str> = errors.filter_map(|error| error["pointer"].as_str()).collect();
        if !case.pointer.is_empty() && !pointers.contains(&case.pointer) {
            wrong.push(format!("{} points at {pointers:?}: {text}", case.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
