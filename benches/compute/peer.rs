//! The other side: a process of `benches/peers/torch_steps.py`, asked over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::lines::Line;
use super::variants::{Malloc, Variant};

/// glibc returns nothing to the system and maps nothing on its own: pages are faulted in once.
const KEEPING_MALLOC: [(&str, &str); 3] =
    [("MALLOC_MMAP_MAX_", "0"), ("MALLOC_TRIM_THRESHOLD_", "1099511627776"), ("MALLOC_TOP_PAD_", "67108864")];

/// One process. It computes only while it is asked something.
pub struct Peer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// PyTorch's version.
    pub version: String,
}

impl Peer {
    /// Starts the peer with so many threads.
    ///
    /// # Errors
    /// No such interpreter, or one without PyTorch.
    pub fn start(python: &Path, malloc: Malloc, threads: usize) -> anyhow::Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers/torch_steps.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("PEER_THREADS", threads.to_string()).env("OMP_NUM_THREADS", threads.to_string());
        if malloc == Malloc::Keeping {
            command.envs(KEEPING_MALLOC);
        }
        let mut process = command.spawn().with_context(|| format!("cannot start {}", python.display()))?;
        let requests = process.stdin.take().expect("its standard input is a pipe");
        let answers = BufReader::new(process.stdout.take().expect("its standard output is a pipe"));
        let mut peer = Self { process, requests, answers, version: String::new() };
        let greeting = peer.answer()?;
        match greeting["version"].as_str() {
            Some(version) => peer.version = version.to_owned(),
            None => bail!("{}", greeting["error"].as_str().unwrap_or("it does not say its version")),
        }
        Ok(peer)
    }

    /// The answer to one request.
    pub fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()).context("the peer has ended")?;
        self.answer()
    }

    /// The seconds of each call of a turn of a line in one variant; `Err` in the inner result where the variant fails.
    pub fn turn(&mut self, line: &Line, variant: &Variant, seconds: f64) -> anyhow::Result<Result<Vec<f64>, String>> {
        let answer = self.ask(&json!({
            "workload": line.workload.name,
            "task": line.task.name(),
            "rows": line.rows,
            "variant": variant.words,
            "seconds": seconds,
        }))?;
        if let Some(error) = answer["error"].as_str() {
            return Ok(Err(error.to_owned()));
        }
        let calls = answer["seconds"].as_array().map(|calls| calls.iter().filter_map(Value::as_f64).collect());
        calls.map(Ok).with_context(|| format!("the peer answers {answer}"))
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the peer has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    /// Whatever it computes is wanted no more. That it has ended already is no fault.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Both processes: the malloc is chosen when a process starts.
pub struct Peers {
    plain: Peer,
    keeping: Peer,
}

impl Peers {
    /// Starts both.
    ///
    /// # Errors
    /// Those of [`Peer::start`].
    pub fn start(python: &Path, threads: usize) -> anyhow::Result<Self> {
        let start = |malloc| Peer::start(python, malloc, threads);
        Ok(Self { plain: start(Malloc::Plain)?, keeping: start(Malloc::Keeping)? })
    }

    /// The process with this malloc.
    pub fn with(&mut self, malloc: Malloc) -> &mut Peer {
        match malloc {
            Malloc::Plain => &mut self.plain,
            Malloc::Keeping => &mut self.keeping,
        }
    }
}
