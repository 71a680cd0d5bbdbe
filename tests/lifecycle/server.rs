//! A server process of its own, and a client for it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take before a test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running `perennial serve`; killed when dropped.
pub struct Process {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Process {
    /// Starts a server on this data folder and waits until it listens.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {})
    }

    /// The same; `prepare` may change the command that starts it.
    pub fn start_with(data: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_perennial")), data, prepare)
    }

    /// The same, by a program that takes the server's command at the end of its own and becomes it.
    pub fn start_by(program: &[&str], data: &Path) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_perennial"));
        Self::spawn(command, data, |_| {})
    }

    fn spawn(mut command: Command, data: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        command
            .args(["serve", "--port", "0", "--data-dir"])
            .arg(data)
            .env("PERENNIAL_TRAINING__CHECKPOINT_MS", "50")
            .env("PERENNIAL_TRAINING__LEASE_SECONDS", "1")
            .env("PERENNIAL_LOG__FILTER", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        prepare(&mut command);
        let mut child = command.spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output is piped")).read_line(&mut line).expect("readable");
        let url = line.trim().strip_prefix("perennial listens on ").expect("it says where it listens").to_owned();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { child, url, http }
    }

    /// Its process.
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        self.child.wait().expect("gone").code()
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// A request; status and document.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.sent(method, path, body).await.expect("an answer")
    }

    async fn sent(&self, method: &str, path: &str, body: Option<&Value>) -> reqwest::Result<(u16, Value)> {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// A document that must be there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, document) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {document}");
        document
    }

    /// Waits until the trainer stands beyond `seq`, or at the head of its stream.
    pub async fn trains_beyond(&self, learner: &str, seq: u64) {
        let start = Instant::now();
        loop {
            let document = self.get(&format!("/v1/learners/{learner}")).await;
            let at = |key: &str| document[key].as_u64().expect("a seq");
            if at("trained_seq") > seq || at("trained_seq") == at("head_seq") {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it does not train: {document}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until everything is learned and training is idle; the learner's document.
    pub async fn idle(&self, learner: &str) -> Value {
        let start = Instant::now();
        loop {
            let document = self.get(&format!("/v1/learners/{learner}")).await;
            let all = document["trained_seq"] == document["head_seq"];
            if all && document["training"]["state"] == "idle" {
                return document;
            }
            assert!(start.elapsed() < PATIENCE, "not idle: {document}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed already, or a test failed: either way nothing may stay behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The document of a learner of 8x8 digits.
pub fn digits_learner(name: &str) -> Value {
    let classes: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    json!({
        "name": name,
        "task": {"kind": "classification", "classes": classes},
        "schema": {"features": [{"name": "pixels", "kind": "image", "height": 8, "width": 8, "max": 16}]},
        "network": {"kind": "mlp", "hidden": [8]},
        "training": {"publish_rows": 100, "max_passes": 2},
    })
}

/// The UCI digits as examples with ids.
pub fn digits() -> Vec<Value> {
    let dataset = smartcore::dataset::digits::load_dataset();
    let rows = dataset.data.chunks_exact(64).zip(&dataset.target).enumerate();
    rows.map(|(index, (pixels, label))| {
        json!({"inputs": {"pixels": pixels}, "label": *label as u8, "id": format!("digit-{index}")})
    })
    .collect()
}
