//! Clients that never pause: one posts examples, one predicts, until they are told to stop. Every answer must be a 200.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::server::Server;

/// Rows in one request.
const BATCH: u64 = 32;

/// The writer goes on while the trainer is no more than so many rows behind it: always something to learn, and an end.
const BACKLOG: u64 = 256;

/// A writer and a predictor at work on one learner.
pub struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
    predictor: JoinHandle<u64>,
}

impl Load {
    /// Starts both. `example` makes the example of every place of the stream, from place `first` on; what is predicted
    /// are the inputs of these examples.
    pub fn start(server: &Arc<Server>, name: &str, first: u64, example: fn(u64) -> Value) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(server.clone(), name.to_owned(), first, example, stop.clone()));
        let predictor = tokio::spawn(predict(server.clone(), name.to_owned(), example, stop.clone()));
        Self { stop, writer, predictor }
    }

    /// Stops both; the newest place of the stream. Both got answers to the end.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let predictions = self.predictor.await.expect("every prediction was answered");
        assert!(predictions > 0);
        self.writer.await.expect("every example was stored")
    }
}

/// Posts examples in order; each request gets the places right behind the one before.
async fn write(server: Arc<Server>, name: String, first: u64, example: fn(u64) -> Value, stop: Arc<AtomicBool>) -> u64 {
    let mut head = first - 1;
    while !stop.load(Ordering::Relaxed) {
        let examples: Vec<Value> = (head + 1..=head + BATCH).map(example).collect();
        let body = json!({ "examples": examples });
        let answer = server.post(&format!("/v1/learners/{name}/examples"), &body).await.expect(200);
        assert_eq!((&answer["first_seq"], &answer["last_seq"]), (&json!(head + 1), &json!(head + BATCH)));
        head += BATCH;
        let keeps_up = |learner: &Value| learner["trained_seq"].as_u64().expect("a place") + BACKLOG >= head;
        server.until(&name, keeps_up).await;
    }
    head
}

/// Predicts; the versions that answer only ever get newer.
async fn predict(server: Arc<Server>, name: String, example: fn(u64) -> Value, stop: Arc<AtomicBool>) -> u64 {
    let (mut answered, mut newest) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let rows: Vec<Value> = (answered..answered + 3).map(|number| example(number)["inputs"].clone()).collect();
        let answer = server.post(&format!("/v1/learners/{name}/predict"), &json!({ "inputs": rows })).await.expect(200);
        assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(3));
        let version = answer["version"].as_u64().expect("a version");
        assert!(version >= newest, "version {version} answered after version {newest}");
        (answered, newest) = (answered + 1, version);
    }
    answered
}
