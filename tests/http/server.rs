//! A server of its own for every test, and a client that knows where it listens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial::config::Config;
use perennial::http::{AppState, Services, serve};
use perennial::metrics::Metrics;
use perennial::serving::Predictor;
use perennial::store::SqliteStore;
use perennial::stream::writer::Writer;
use perennial::training::{Follower, Sharing, Store, Supervisor, follow};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server. Its files go with it.
pub struct Server {
    pub base: String,
    pub client: reqwest::Client,
    pub state: AppState,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    following: CancellationToken,
    _folder: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The answer, which must be of this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// The answer, which must be a whole problem document of this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["code"], code, "{text}");
        assert_eq!(document["status"], status);
        assert_eq!(document["request_id"], self.header("x-request-id"));
        assert!(document["title"].is_string() && document["detail"].is_string() && document["type"].is_string());
        document
    }
}

/// Settings under which a test's learners train little and fast.
pub fn config() -> Config {
    let mut config = Config::default();
    config.training.threads = 1;
    config.server.stop_seconds = 5;
    config
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(config()).await
    }

    pub async fn start_with(mut config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        config.storage.data_dir = folder.path().to_str().unwrap().to_owned();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("perennial.db")).await.unwrap());
        let metrics = Metrics::new();
        let predictor = Predictor::start(store.clone(), &config.serving, metrics.serving.clone());
        let training = metrics.training.clone();
        let supervisor = Supervisor::start(store.clone(), &config.training, training, Sharing::Alone).await.unwrap();
        let writer = Writer::start(store.clone(), &config.ingest, metrics.ingest.clone());
        let services = Services { store: store.clone(), supervisor: Some(supervisor.clone()), predictor, writer };
        let look_every = Duration::from_millis(config.fleet.poll_ms);
        let state = AppState::new(services, metrics, Arc::new(config));
        state.load_learners().await.unwrap();
        let following = CancellationToken::new();
        let followers: Vec<Arc<dyn Follower>> = vec![Arc::new(state.clone()), Arc::new(supervisor)];
        tokio::spawn(follow::follow(store, look_every, followers, following.clone()));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            stopped.await.ok();
        };
        let task = tokio::spawn(serve(listener, state.clone(), shutdown, Duration::from_secs(5)));
        let client = reqwest::Client::new();
        Self { base, client, state, stop: Some(stop), task, following, _folder: folder }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.client.delete(format!("{}{path}", self.base))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_body(Method::POST, path, "application/json", body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send_body(Method::PATCH, path, "application/json", body.to_string()).await
    }

    pub async fn send_body(&self, method: Method, path: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base)).body(body.into());
        self.send(request.header("content-type", media_type)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.expect("the answer is whole").to_vec() }
    }

    /// Creates the learner `name` of two classes with a numeric, a categorical and a vector feature.
    pub async fn create(&self, name: &str) -> Value {
        self.post("/v1/learners", &learner(name)).await.expect(201)
    }

    /// Posts examples `first` to `last` of the made-up stream and returns the answer.
    pub async fn ingest(&self, name: &str, first: u64, last: u64) -> Value {
        let examples: Vec<Value> = (first..=last).map(example).collect();
        self.post(&format!("/v1/learners/{name}/examples"), &json!({ "examples": examples })).await.expect(200)
    }

    /// Waits until everything is learned.
    pub async fn settle(&self, name: &str) -> Value {
        let rests =
            |learner: &Value| learner["trained_seq"] == learner["head_seq"] && learner["training"]["state"] == "idle";
        self.until(name, rests).await
    }

    /// Waits until a learner is as wanted.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let learner = self.get(&format!("/v1/learners/{name}")).await.expect(200);
            if wanted(&learner) {
                return learner;
            }
            assert!(start.elapsed() < PATIENCE, "it never came so far: {learner}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the server as a signal would.
    pub async fn stop(mut self) {
        self.stop.take().expect("a server stops once").send(()).ok();
        (&mut self.task).await.unwrap().unwrap();
        self.state.writer.stop().await;
        self.following.cancel();
        self.state.supervisor.as_ref().expect("it trains").stop().await;
        self.state.predictor.stop().await;
        self.state.store.close().await;
    }
}

/// A learner's document.
pub fn learner(name: &str) -> Value {
    json!({
        "name": name,
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "schema": {"features": [
            {"name": "size", "kind": "numeric"},
            {"name": "colour", "kind": "categorical", "max_categories": 4},
            {"name": "shape", "kind": "vector", "size": 2}
        ]},
        "network": {"kind": "mlp", "hidden": [4]},
        "training": {"batch": 16, "round_rows": 16, "round_wait_ms": 10, "publish_rows": 50, "max_passes": 1},
        "policy": {"kind": "manual", "max_parameters": 5000}
    })
}

/// The inputs of the made-up stream's example `number`.
pub fn inputs(number: u64) -> Value {
    let angle = number as f64 * 0.7;
    let colour = if number.is_multiple_of(2) { "red" } else { "green" };
    json!({"size": angle.sin(), "colour": colour, "shape": [angle.cos(), 1.0]})
}

/// The made-up stream's example `number`.
pub fn example(number: u64) -> Value {
    let label = if (number as f64 * 0.7).sin() > 0.0 { "yes" } else { "no" };
    json!({ "inputs": inputs(number), "label": label })
}
