//! What becomes of the time of one client: every stage of its requests measured alone, one after the other.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use perennial::stream::decode::{DecodeError, Expected, RowSink, SchemaAge};
use perennial::stream::{EncodedExample, NewExample};
use tokio::net::TcpListener;

use crate::bare::{self, Amount, Commits};
use crate::places::{Kind, Place};
use crate::rows::DataSet;
use crate::served::{self, Load, Post};

/// Microseconds a row.
#[derive(Clone, Copy)]
pub struct Stages {
    /// A request whose body is read and thrown away, and its answer.
    pub carried: f64,
    /// From bytes to values.
    pub decoded: f64,
    /// From values to the bytes of stored rows.
    pub encoded: f64,
    /// The statements of the transaction, without waiting for the disk.
    pub inserted: f64,
    /// Waiting for the disk.
    pub synced: f64,
    /// All of it, through the server.
    pub served: f64,
}

impl Stages {
    /// What is left of the whole: ways between threads, waiting for the writer, the books, the answer.
    pub fn rest(&self) -> f64 {
        self.served - self.carried - self.decoded - self.encoded - self.inserted - self.synced
    }
}

/// Measures everything once.
pub async fn measure(kind: Kind, load: &Load<'_>) -> Stages {
    let served = 1e6 / served::run(&Place::new(kind), load, 1).await.rate;
    let amount = Amount { rows: load.requests * load.rows, in_a_commit: load.rows };
    let synced = 1e6 / bare::run(&Place::new(kind), load.data, amount, Commits::Synced).await;
    let inserted = 1e6 / bare::run(&Place::new(kind), load.data, amount, Commits::Unsynced).await;
    let carried = micros_a_row(carry(load).await, load.requests * load.rows);
    let rows = load.bodies.len() * load.rows;
    let decoded = micros_a_row(timed(|| load.bodies.iter().for_each(|body| decode(load, body))), rows);
    let examples = load.data.examples.clone();
    let encode = || examples.into_iter().for_each(|example| drop(std::hint::black_box(EncodedExample::from(example))));
    let encoded = micros_a_row(timed(encode), load.data.examples.len());
    Stages { carried, decoded, encoded, inserted, synced: synced - inserted, served }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn micros_a_row(time: Duration, rows: usize) -> f64 {
    1e6 * time.as_secs_f64() / rows as f64
}

/// All requests of one client to a server that throws bodies away.
async fn carry(load: &Load<'_>) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url: Arc<str> = format!("http://{}/", listener.local_addr().expect("an address")).into();
    let router = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let post = Post { client: reqwest::Client::new(), url, media_type: load.body.media_type() };
    post.send(&load.bodies[0]).await;
    let began = Instant::now();
    for request in 0..load.requests {
        post.send(&load.bodies[request % load.bodies.len()]).await;
    }
    let time = began.elapsed();
    server.abort();
    time
}

fn decode(load: &Load<'_>, body: &Bytes) {
    let DataSet { schema, task, .. } = load.data;
    let mut decoder = load.body.format().decoder(64 << 20);
    decoder.feed(body.clone());
    decoder.end();
    let mut rows = Count(0);
    let expected = Expected { schema, task, max_rows: usize::MAX };
    decoder.decode(expected, SchemaAge::Newest, &mut rows).expect("a sound body");
    assert_eq!(rows.0, load.rows, "every row is decoded");
}

struct Count(usize);

impl RowSink for Count {
    fn take(&mut self, _row: u64, found: Result<NewExample, DecodeError>) -> ControlFlow<()> {
        std::hint::black_box(found.expect("a sound row"));
        self.0 += 1;
        ControlFlow::Continue(())
    }
}
