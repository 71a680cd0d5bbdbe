//! A server process: started, killed, stopped; and the way to talk to it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::release::KEYS_STAY;
use crate::storage::Storage;

/// How long anything may take before the harness says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("PERENNIAL_CRASH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_perennial").into(), PathBuf::from)
}

/// A running `perennial serve`; killed when dropped.
pub struct Process {
    child: Child,
    pub started: Instant,
}

/// How to talk to a server.
#[derive(Clone)]
pub struct Server {
    url: String,
    http: reqwest::Client,
}

/// A request met a server that is gone.
#[derive(Debug)]
pub struct Gone;

impl Process {
    /// Starts a server on this database; where it listens is told once it does.
    pub fn spawn(storage: &Storage, log: &Path) -> (Self, oneshot::Receiver<Server>) {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let mut child = storage
            .command(&["serve", "--port", "0"])
            .envs([
                ("PERENNIAL_TRAINING__CHECKPOINT_MS", "100"),
                ("PERENNIAL_TRAINING__LEASE_SECONDS", "1"),
                // On a machine that does other things too, kills would find a trainer that never comes to anything.
                ("PERENNIAL_TRAINING__NICE", "0"),
                ("PERENNIAL_TRAINING__THREADS", "1"),
                ("PERENNIAL_TRAINING__TURN_MS", "50"),
                ("PERENNIAL_STORAGE__KEEP_VERSIONS", "5"),
                ("PERENNIAL_LOG__FILTER", "warn"),
                KEYS_STAY,
            ])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("its output is piped");
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Nothing is told of a server that is killed before it listens.
            if BufReader::new(output).read_line(&mut line).is_ok()
                && let Some(url) = line.trim().strip_prefix("perennial listens on ")
            {
                let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
                drop(tell.send(Server { url: url.to_owned(), http }));
            }
        });
        (Self { child, started: Instant::now() }, told)
    }

    /// Its exit code if it has ended by itself.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        self.child.wait().expect("gone").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request; its status and document.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), Gone> {
        self.send_keyed(method, path, body, None).await
    }

    /// The same under an idempotency key.
    pub async fn send_keyed(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<(u16, Value), Gone> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.map_err(|_| Gone)?;
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await.map_err(|_| Gone)?;
        let mut document: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if let (Some(location), Value::Object(members)) = (location, &mut document) {
            members.insert("location".into(), location.into());
        }
        Ok((status, document))
    }

    /// A document.
    pub async fn get(&self, path: &str) -> Result<(u16, Value), Gone> {
        self.send(Method::GET, path, None).await
    }
}
