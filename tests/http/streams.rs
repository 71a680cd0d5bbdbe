//! Bodies of every format, packed or not, of any length: stored whole or not at all, and once.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float64Builder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use async_compression::tokio::bufread::ZstdEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use perennial::stream::{Append, Covered, EncodedExample, Existing, IdempotencyKey, Label, NewExample, Value as Cell};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Answer, Server, config, example};

const PATH: &str = "/v1/learners/cats/examples";
const NDJSON: &str = "application/x-ndjson";

fn lines(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|number| format!("{}\n", example(number)).into_bytes()).collect()
}

fn number(example: &Value, pointer: &str) -> f64 {
    example.pointer(pointer).unwrap().as_f64().unwrap()
}

fn text(example: &Value, pointer: &str) -> String {
    example.pointer(pointer).unwrap().as_str().unwrap().to_owned()
}

fn csv(examples: &[Value]) -> Vec<u8> {
    let record = |row: &Value| {
        let [x, y] = ["/inputs/shape/0", "/inputs/shape/1"].map(|pointer| number(row, pointer));
        let (size, colour, label) = (number(row, "/inputs/size"), text(row, "/inputs/colour"), text(row, "/label"));
        format!("{size};{colour};{x};{y};{label}\n")
    };
    let records: String = examples.iter().map(record).collect();
    format!("size;colour;shape.0;shape.1;class\n{records}").into_bytes()
}

fn arrow(examples: &[Value]) -> Vec<u8> {
    let texts = |pointer: &str| -> ArrayRef {
        Arc::new(StringArray::from(examples.iter().map(|row| text(row, pointer)).collect::<Vec<_>>()))
    };
    let mut shape = FixedSizeListBuilder::new(Float64Builder::new(), 2);
    for row in examples {
        shape.values().append_slice(&["/inputs/shape/0", "/inputs/shape/1"].map(|pointer| number(row, pointer)));
        shape.append(true);
    }
    let sizes: Vec<f64> = examples.iter().map(|row| number(row, "/inputs/size")).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("size", Arc::new(Float64Array::from(sizes))),
        ("colour", texts("/inputs/colour")),
        ("shape", Arc::new(shape.finish())),
        ("label", texts("/label")),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    ZstdEncoder::new(bytes).read_to_end(&mut packed).await.unwrap();
    packed
}

async fn send(server: &Server, query: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = server.client.post(format!("{}{PATH}{query}", server.base)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request).await
}

async fn head(server: &Server) -> Value {
    server.get("/v1/learners/cats").await.expect(200)["head_seq"].clone()
}

/// The inputs and labels of the stream, in order.
async fn stored(server: &Server) -> Vec<Value> {
    let page = server.get(&format!("{PATH}?limit=1000")).await.expect(200);
    let row = |row: &Value| json!({"inputs": row["inputs"], "label": row["label"]});
    page["examples"].as_array().unwrap().iter().map(row).collect()
}

/// The made-up stream's vectors as they are stored: in 32 bits.
fn in_32_bits(mut example: Value) -> Value {
    for pointer in ["/inputs/shape/0", "/inputs/shape/1"] {
        let short = number(&example, pointer) as f32;
        let shortest: f64 = short.to_string().parse().unwrap();
        *example.pointer_mut(pointer).unwrap() =
            if shortest.fract() == 0.0 { json!(shortest as i64) } else { json!(shortest) };
    }
    let size = number(&example, "/inputs/size");
    if size.fract() == 0.0 {
        example["inputs"]["size"] = json!(size as i64);
    }
    example
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_brings_the_same_examples_packed_or_not() {
    let server = Server::start().await;
    server.create("cats").await;
    let examples: Vec<Value> = (1..=20).map(example).collect();
    let table = "?label=class&delimiter=%3B";
    let bodies = [
        ("", "application/json", json!({ "examples": examples }).to_string().into_bytes()),
        ("", NDJSON, lines(1..=20)),
        (table, "text/csv; charset=utf-8", csv(&examples)),
        ("", "application/vnd.apache.arrow.stream", arrow(&examples)),
    ];
    let mut sent = 0;
    for (query, media_type, body) in &bodies {
        for encoding in ["identity", "gzip", "zstd"] {
            let packed = match encoding {
                "gzip" => gzip(body),
                "zstd" => zstd(body).await,
                _ => body.clone(),
            };
            let headers = [("content-type", *media_type), ("content-encoding", encoding)];
            let answer = send(&server, query, &headers, packed).await.expect(200);
            let expected = json!({"accepted": 20, "duplicates": 0, "first_seq": sent + 1, "last_seq": sent + 20, "head_seq": sent + 20});
            assert_eq!(answer, expected, "{media_type} {encoding}");
            sent += 20;
        }
    }
    let expected: Vec<Value> = (1..=20).map(|number| in_32_bits(example(number))).collect();
    for part in stored(&server).await.chunks(20) {
        assert_eq!(part, expected);
    }
    let refused = send(&server, "", &[("content-type", "text/html")], lines(1..=1)).await;
    let document = refused.problem(415, "unsupported_media_type");
    assert!(document["detail"].as_str().unwrap().contains("application/vnd.apache.arrow.stream"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_is_stored_in_parts_and_a_replay_gets_the_first_answer() {
    let mut config = config();
    config.ingest.commit_examples = 10;
    config.ingest.spool_bytes = 2_000;
    config.limits.examples = 30;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let keyed = [("content-type", NDJSON), ("idempotency-key", "long")];
    let first = send(&server, "", &keyed, lines(1..=95)).await.expect(200);
    let expected = json!({"accepted": 95, "duplicates": 0, "first_seq": 1, "last_seq": 95, "head_seq": 95});
    assert_eq!(first, expected);
    server.ingest("cats", 1, 1).await;
    assert_eq!(send(&server, "", &keyed, lines(1..=95)).await.expect(200), first);
    send(&server, "", &keyed, lines(1..=94)).await.problem(422, "key_reused");
    send(&server, "", &keyed, lines(1..=1)).await.problem(422, "key_reused");
    let expected: Vec<Value> = (1..=95).map(|number| in_32_bits(example(number))).collect();
    assert_eq!(stored(&server).await[..95], expected);
    assert_eq!(head(&server).await, 96);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_goes_on_where_the_first_try_broke_off_however_that_was_cut() {
    for (commit_examples, spool_bytes) in [(4, 0), (50, 0), (4, 1 << 20), (50, 1 << 20)] {
        let mut config = config();
        config.ingest.commit_examples = commit_examples;
        config.ingest.spool_bytes = spool_bytes;
        let server = Server::start_with(config).await;
        server.create("cats").await;
        let body = lines(1..=20);
        // What a first try has stored that died after its first append, of seven rows.
        let learner = server.state.store.learner(&serde_json::from_str("\"cats\"").unwrap()).await.unwrap().unwrap().id;
        let row = |number: u64| {
            let example = example(number);
            let cells = vec![
                Cell::Number(self::number(&example, "/inputs/size")),
                Cell::Category(text(&example, "/inputs/colour")),
                Cell::Vector(vec![number_f32(&example, "/inputs/shape/0"), 1.0]),
            ];
            EncodedExample::from(NewExample { id: None, row: cells, label: Label::Class(text(&example, "/label")) })
        };
        let key = IdempotencyKey { key: "again".into(), body: Sha256::digest(&body).into() };
        let covers = Some(Covered { until: Some(7), rejections: None });
        let examples = (1..=7).map(row).collect();
        let append = Append { learner, key: Some(key), existing: Existing::Keep, examples, covers };
        server.state.writer.write(append).await.unwrap();

        let keyed = [("content-type", NDJSON), ("idempotency-key", "again")];
        for _ in 0..2 {
            let answer = send(&server, "", &keyed, body.clone()).await.expect(200);
            let expected = json!({"accepted": 20, "duplicates": 0, "first_seq": 1, "last_seq": 20, "head_seq": 20});
            assert_eq!(answer, expected, "{commit_examples} {spool_bytes}");
        }
        let expected: Vec<Value> = (1..=20).map(|number| in_32_bits(example(number))).collect();
        assert_eq!(stored(&server).await, expected, "{commit_examples} {spool_bytes}");
        server.stop().await;
    }
}

fn number_f32(example: &Value, pointer: &str) -> f32 {
    number(example, pointer) as f32
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stored_of_a_stream_with_a_fault_or_that_breaks_off() {
    let mut config = config();
    config.ingest.commit_examples = 10;
    config.ingest.spool_bytes = 1_000;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let body = [lines(1..=500), br#"{"inputs":{"size":1,"shape":[1,"x"]},"label":"no"}"#.to_vec()].concat();
    let problem = send(&server, "", &[("content-type", NDJSON)], body).await.problem(422, "invalid_rows");
    assert_eq!(problem["errors"][0]["pointer"], "/500/inputs/shape/1");
    let packed = gzip(&lines(1..=500));
    let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
    send(&server, "", &headers, packed[..packed.len() / 2].to_vec()).await.problem(400, "malformed_body");

    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let mut gone = tokio::net::TcpStream::connect(&address).await.unwrap();
    let body = String::from_utf8(lines(1..=500)).unwrap();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    );
    gone.write_all(request.as_bytes()).await.unwrap();
    gone.flush().await.unwrap();
    drop(gone);
    // Whatever becomes of the connection, the server goes on and has nothing of it.
    assert_eq!(server.ingest("cats", 1, 1).await["first_seq"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_request_stores_the_good_and_says_what_became_of_each() {
    let mut config = config();
    config.limits.reported_faults = 2;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let mut examples: Vec<Value> = (1..=4).map(example).collect();
    examples[0]["id"] = json!("a");
    examples[1]["inputs"]["shape"] = json!([1]);
    examples[3]["id"] = json!("a");
    let body = json!({ "examples": examples }).to_string().into_bytes();
    let keyed = [("content-type", "application/json"), ("idempotency-key", "part")];
    let answer = send(&server, "?partial=true", &keyed, body.clone()).await.expect(200);
    let counts = json!([answer["accepted"], answer["duplicates"], answer["rejected"], answer["head_seq"]]);
    assert_eq!(counts, json!([2, 1, 1, 2]));
    let told: Vec<Value> = answer["examples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["index"], row["status"], row["seq"]]))
        .collect();
    let expected = json!([[0, "accepted", 1], [1, "rejected", null], [2, "accepted", 2], [3, "duplicate", 1]]);
    assert_eq!(json!(told), expected);
    assert_eq!(answer["examples"][1]["errors"][0]["pointer"], "/examples/1/inputs/shape");
    server.ingest("cats", 1, 1).await;
    assert_eq!(send(&server, "?partial=true", &keyed, body).await.expect(200), answer);

    let bad = b"{\"inputs\":{},\"label\":\"no\"}\n{\"inputs\":\n{\"inputs\":3,\"label\":\"no\"}\n".to_vec();
    let body = [lines(1..=3), bad, lines(4..=5)].concat();
    let answer = send(&server, "?partial=true", &[("content-type", NDJSON)], body).await.expect(200);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(5), &json!(3)));
    let reported: Vec<&Value> = answer["examples"].as_array().unwrap().iter().map(|row| &row["index"]).collect();
    assert_eq!(reported, [3, 4], "the first two are told of");
    let all_bad = send(&server, "?partial=true", &[("content-type", NDJSON)], b"{}\n".to_vec()).await.expect(200);
    assert_eq!((&all_bad["accepted"], &all_bad["rejected"]), (&json!(0), &json!(1)));
    let page = server.get("/metrics").await;
    let metrics = String::from_utf8(page.bytes).unwrap();
    assert!(metrics.contains("perennial_ingest_examples_total{learner=\"cats\",outcome=\"invalid\"} 6"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_example_is_replaced_when_the_request_says_so() {
    let server = Server::start().await;
    server.create("cats").await;
    let with_id = |number: u64| {
        let mut row = example(number);
        row["id"] = json!("same");
        json!({ "examples": [row] }).to_string().into_bytes()
    };
    let json_body = [("content-type", "application/json")];
    send(&server, "", &json_body, with_id(1)).await.expect(200);
    assert_eq!(send(&server, "", &json_body, with_id(2)).await.expect(200)["duplicates"], 1);
    let answer = send(&server, "?replace=true&partial=true", &json_body, with_id(3)).await.expect(200);
    assert_eq!((&answer["replaced"], &answer["examples"][0]["status"]), (&json!(1), &json!("replaced")));
    assert_eq!(stored(&server).await, [in_32_bits(example(3))]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_unpacks_to_too_much_and_an_unknown_packing_are_refused() {
    let mut config = config();
    config.limits.body_bytes = 100_000;
    config.limits.stream_bytes = 1_000_000;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let bomb = b" \n".repeat(20_000_000);
    let (gzipped, zstandard) = (gzip(&bomb), zstd(&bomb).await);
    for media_type in [NDJSON, "application/json", "text/csv", "application/vnd.apache.arrow.stream"] {
        for (encoding, packed) in [("gzip", &gzipped), ("zstd", &zstandard)] {
            let headers = [("content-type", media_type), ("content-encoding", encoding)];
            let answer = send(&server, "", &headers, packed.clone()).await;
            assert!([400, 413, 422].contains(&answer.status), "{media_type} {encoding} {}", answer.status);
        }
    }
    let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
    send(&server, "", &headers, gzipped).await.problem(413, "body_too_large");
    send(&server, "", &[("content-type", NDJSON)], lines(1..=20_000)).await.problem(413, "body_too_large");
    let headers = [("content-type", NDJSON), ("content-encoding", "br")];
    let refused = send(&server, "", &headers, lines(1..=1)).await;
    assert_eq!(refused.header("accept-encoding"), "gzip, zstd");
    refused.problem(415, "unsupported_encoding");
    assert_eq!(head(&server).await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_spooled_is_refused_and_short_ones_go_on() {
    let mut config = config();
    config.ingest.spool_bytes = 1_000;
    let server = Server::start_with(config).await;
    server.create("cats").await;
    let folder = std::path::Path::new(&server.state.config.storage.data_dir).join("spool");
    std::fs::write(&folder, "no folder").unwrap();
    let long = send(&server, "", &[("content-type", NDJSON)], lines(1..=100)).await;
    long.problem(503, "storage_unavailable");
    assert_eq!(server.ingest("cats", 1, 3).await["head_seq"], 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_tables_are_pointed_at() {
    let server = Server::start().await;
    server.create("cats").await;
    let text_csv = [("content-type", "text/csv")];
    let bad = b"size,colour,shape.0,shape.1,label\n1,red,1,2,no\n1,red,1,x,no\n".to_vec();
    let problem = send(&server, "", &text_csv, bad).await.problem(422, "invalid_rows");
    assert_eq!(problem["errors"][0]["pointer"], "/1/inputs/shape/1");
    let problem = send(&server, "", &text_csv, b"size,weight\n1,2\n".to_vec()).await.problem(422, "invalid_rows");
    assert_eq!(problem["errors"][0]["pointer"], "/columns/label");
    let arrow_type = [("content-type", "application/vnd.apache.arrow.stream")];
    send(&server, "", &arrow_type, b"no arrow at all, whatever".to_vec()).await.problem(400, "malformed_body");
    let half = arrow(&[example(1)]);
    send(&server, "", &arrow_type, half[..half.len() / 2].to_vec()).await.problem(400, "malformed_body");
    for query in ["?delimiter=ab", "?delimiter=%0A", "?partial=yes", "?colour=red"] {
        send(&server, query, &text_csv, Vec::new()).await.problem(400, "invalid_query");
    }
    send(&server, "?delimiter=x", &[("content-type", NDJSON)], lines(1..=1)).await.problem(400, "invalid_query");
    let answer = server.send_body(Method::POST, PATH, NDJSON, lines(1..=1)).await.expect(200);
    assert_eq!(answer["head_seq"], 1);
    server.stop().await;
}
