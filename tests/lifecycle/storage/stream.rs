//! A server under a fault: one learner, examples with ids, and what was acknowledged.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::server::{Process, digits, digits_learner};

const EXAMPLES: &str = "/v1/learners/digits/examples";

/// A client that knows what was acknowledged.
pub struct Stream {
    digits: Vec<Value>,
    posted: usize,
    acked: BTreeSet<String>,
}

impl Stream {
    /// Creates the learner and has it learn a hundred rows.
    pub async fn start(server: &Process) -> Self {
        let (status, answer) = server.request("POST", "/v1/learners", Some(&digits_learner("digits"))).await;
        assert_eq!(status, 201, "{answer}");
        let mut stream = Self { digits: digits(), posted: 0, acked: BTreeSet::new() };
        assert_eq!(stream.post(server, 100).await.0, 200);
        server.idle("digits").await;
        stream
    }

    /// Posts the next rows; status and answer. What got a 2xx must never be lost.
    pub async fn post(&mut self, server: &Process, rows: usize) -> (u16, Value) {
        let rows: Vec<Value> = (self.posted..self.posted + rows)
            .map(|number| {
                let mut row = self.digits[number % self.digits.len()].clone();
                row["id"] = json!(format!("row-{number}"));
                row
            })
            .collect();
        self.posted += rows.len();
        let (status, answer) = server.request("POST", EXAMPLES, Some(&json!({ "examples": rows }))).await;
        if (200..300).contains(&status) {
            self.acked.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        }
        (status, answer)
    }

    /// The server predicts, and says that it can.
    pub async fn predicts(&self, server: &Process) {
        let inputs: Vec<&Value> = self.digits[..3].iter().map(|row| &row["inputs"]).collect();
        let body = json!({ "inputs": inputs });
        let (status, answer) = server.request("POST", "/v1/learners/digits/predict", Some(&body)).await;
        assert_eq!((status, answer["predictions"].as_array().map(Vec::len)), (200, Some(3)), "{answer}");
        assert_eq!(server.get("/readyz").await["ready"], true);
    }

    /// Everything that was acknowledged is in the stream, which is dense, and all of it is learned.
    pub async fn is_whole(&self, server: &Process) {
        let learner = server.idle("digits").await;
        let mut ids = BTreeSet::new();
        let mut last = 0;
        loop {
            let page = server.get(&format!("{EXAMPLES}?limit=1000&after={last}")).await;
            let page = page["examples"].as_array().expect("examples").clone();
            if page.is_empty() {
                break;
            }
            for example in &page {
                last += 1;
                assert_eq!(example["seq"], last, "dense");
                assert!(ids.insert(example["id"].as_str().expect("an id").to_owned()), "every id once");
            }
        }
        assert_eq!((&learner["head_seq"], &learner["trained_seq"]), (&json!(last), &json!(last)));
        assert!(self.acked.is_subset(&ids), "lost: {:?}", self.acked.difference(&ids).collect::<Vec<_>>());
    }
}

/// The value of a line of `/metrics`.
pub async fn metric(server: &Process, series: &str) -> u64 {
    let page = reqwest::get(server.url("/metrics")).await.expect("an answer").text().await.expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}: {page}"));
    line.trim().parse().expect("a number")
}

/// Starts a server whose log goes into a file of this folder.
pub fn logged(data: &Path, folder: &Path) -> Process {
    let log = std::fs::File::create(folder.join("log")).expect("a file");
    Process::start_with(data, |command| {
        command.stderr(log);
    })
}

/// Whether the log of [`logged`] has a line with these words.
pub fn log_says(folder: &Path, words: &str) -> bool {
    std::fs::read_to_string(folder.join("log")).expect("readable").contains(words)
}
