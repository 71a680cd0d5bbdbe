//! A server on loopback that takes the rows from many clients. It has no trainers: only ingest is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use perennial::config::Config;
use perennial::http::{AppState, Services, serve};
use perennial::metrics::Metrics;
use perennial::serving::Predictor;
use perennial::store::SqliteStore;
use perennial::stream::writer::Writer;
use perennial::training::Store;
use serde_json::json;
use tokio::net::TcpListener;

use crate::bodies::Body;
use crate::rows::DataSet;

/// What a run showed.
pub struct Run {
    /// Examples a second, from the first request to the last answer.
    pub rate: f64,
    pub rows_in_a_commit: usize,
}

/// Sends all requests, so many at once.
pub async fn run(data: &DataSet, body: Body, requests: &[Bytes], clients: usize) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.storage.data_dir = folder.path().to_str().expect("plain").to_owned();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&folder.path().join("perennial.db")).await.expect("a store"));
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
        "name": "bench", "schema": data.schema, "task": data.task,
        "network": {"kind": "mlp", "hidden": [8]}, "policy": {"kind": "manual"},
    });
    let created = client.post(&base).json(&document).send().await.expect("an answer");
    assert!(created.status().is_success(), "{:?}", created.text().await);
    let url: Arc<str> = format!("{base}/bench/examples").into();
    let (next, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(requests.to_vec()));
    let before = commits.get_sample_count();
    let began = Instant::now();
    let sending: Vec<_> = (0..clients)
        .map(|_| {
            let (client, url, next, requests) = (client.clone(), url.clone(), next.clone(), requests.clone());
            tokio::spawn(async move {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let post = client.post(&*url).header("content-type", body.media_type()).body(request.clone());
                    let answer = post.send().await.expect("an answer");
                    assert!(answer.status().is_success(), "{:?}", answer.text().await);
                }
            })
        })
        .collect();
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
    Run { rate: data.examples.len() as f64 / seconds, rows_in_a_commit: data.examples.len().div_ceil(commits) }
}
