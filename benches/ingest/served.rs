//! A server on loopback that takes the rows from many clients. It has no trainers: only ingest is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use perennial::config::Config;
use perennial::http::{AppState, Services, serve};
use perennial::metrics::Metrics;
use perennial::serving::Predictor;
use perennial::stream::writer::Writer;
use reqwest::{Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::bodies::Body;
use crate::places::Place;
use crate::rows::DataSet;

/// What is sent.
pub struct Load<'d> {
    pub data: &'d DataSet,
    pub body: Body,
    /// Bodies with so many rows each, sent over and over.
    pub bodies: &'d [Bytes],
    pub rows: usize,
    /// How often a body is sent.
    pub requests: usize,
}

/// What a run showed.
pub struct Run {
    /// Examples a second, from the first request to the last answer.
    pub rate: f64,
    pub rows_in_a_commit: usize,
}

/// Sends all requests, so many at once. Every client's first request, which connects, is not timed.
pub async fn run(place: &Place, load: &Load<'_>, clients: usize) -> Run {
    let mut config = Config::default();
    config.storage.data_dir = place.folder().to_str().expect("plain").to_owned();
    let store = place.open().await;
    let metrics = Metrics::new();
    let predictor = Predictor::start(store.clone(), &config.serving, metrics.serving.clone());
    let writer = Writer::start(store.clone(), &config.ingest, metrics.ingest.clone());
    let commits = metrics.ingest.commit_seconds.clone();
    let state = AppState::new(Services { store, supervisor: None, predictor, writer }, metrics, Arc::new(config));
    state.load_learners().await.expect("no learners");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1/learners", listener.local_addr().expect("an address"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move { stopped.await.unwrap_or_default() };
    let server = tokio::spawn(serve(listener, state.clone(), shutdown, Duration::from_secs(5)));

    let client = reqwest::Client::new();
    let document = json!({
        "name": "bench", "schema": load.data.schema, "task": load.data.task,
        "network": {"kind": "mlp", "hidden": [8]}, "policy": {"kind": "manual"},
    });
    let created = client.post(&base).json(&document).send().await.expect("an answer");
    assert!(created.status().is_success(), "{:?}", created.text().await);
    let post = Post { client, url: format!("{base}/bench/examples").into(), media_type: load.body.media_type() };
    let (next, left) = (Arc::new(AtomicUsize::new(0)), load.requests);
    let (bodies, connected) = (Arc::new(load.bodies.to_vec()), Arc::new(Barrier::new(clients + 1)));
    let sending: Vec<_> = (0..clients)
        .map(|_| {
            let (post, next, bodies, connected) = (post.clone(), next.clone(), bodies.clone(), connected.clone());
            tokio::spawn(async move {
                post.send(&bodies[0]).await;
                connected.wait().await;
                connected.wait().await;
                loop {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    if request >= left {
                        break;
                    }
                    post.send(&bodies[request % bodies.len()]).await;
                }
            })
        })
        .collect();
    connected.wait().await;
    let before = commits.get_sample_count();
    let began = Instant::now();
    connected.wait().await;
    for client in sending {
        client.await.expect("no client panics");
    }
    let seconds = began.elapsed().as_secs_f64();
    let commits = usize::try_from(commits.get_sample_count() - before).expect("few commits").max(1);
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("a graceful end");
    state.writer.stop().await;
    state.predictor.stop().await;
    state.store.close().await;
    let rows = load.requests * load.rows;
    Run { rate: rows as f64 / seconds, rows_in_a_commit: rows.div_ceil(commits) }
}

/// A way to send bodies.
#[derive(Clone)]
pub struct Post {
    pub client: reqwest::Client,
    pub url: Arc<str>,
    pub media_type: &'static str,
}

impl Post {
    /// Sends a body and reads its answer; where the queue is full, once more when the server says so.
    pub async fn send(&self, body: &Bytes) {
        loop {
            let post = self.client.post(&*self.url).header("content-type", self.media_type).body(body.clone());
            let answer = post.send().await.expect("an answer");
            let (status, wait) = (answer.status(), retry_after(&answer));
            let text = answer.text().await.expect("a text");
            match wait {
                Some(seconds) if status == StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(seconds).await,
                _ => {
                    assert!(status.is_success(), "{text}");
                    return;
                }
            }
        }
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}
