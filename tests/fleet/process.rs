//! The processes of a fleet.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

/// What a process of the fleet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Server,
    Worker,
}

/// A place in the fleet: a process runs there, is killed and started again.
pub struct Place {
    part: Part,
    database: String,
    folder: tempfile::TempDir,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    url: String,
}

impl Place {
    /// Starts a process on the database and waits until it listens.
    pub fn start(part: Part, database: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { part, database: database.to_owned(), folder, running: Mutex::new(None) };
        place.restart();
        place
    }

    /// Starts it again.
    pub fn restart(&self) {
        let arguments: &[&str] = match self.part {
            Part::Server => &["serve", "--role", "api", "--port", "0"],
            Part::Worker => &["worker", "--port", "0"],
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_perennial"))
            .args(arguments)
            .arg("--data-dir")
            .arg(self.folder.path())
            .env("PERENNIAL_DATABASE", &self.database)
            .env("PERENNIAL_STORAGE__CONNECTIONS", "5")
            .env("PERENNIAL_TRAINING__LEASE_SECONDS", "2")
            .env("PERENNIAL_TRAINING__CHECKPOINT_MS", "100")
            .env("PERENNIAL_TRAINING__THREADS", "1")
            .env("PERENNIAL_LOG__FILTER", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let url = line.trim().rsplit_once("listens on ").expect("it says where it listens").1.to_owned();
        *self.running() = Some(Running { child, url });
    }

    /// Where it listens; `None` while it is killed.
    pub fn url(&self) -> Option<String> {
        self.running().as_ref().map(|running| running.url.clone())
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("it runs").child.id()
    }

    /// `kill -9`.
    pub fn kill(&self) {
        if let Some(mut running) = self.running().take() {
            running.child.kill().expect("killed");
            running.child.wait().expect("gone");
        }
    }

    /// SIGSTOP or SIGCONT.
    pub fn signal(&self, signal: Signal) {
        let running = self.running();
        let child = &running.as_ref().expect("it runs").child;
        kill_process(Pid::from_child(child), signal).expect("signalled");
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind, stopped processes included.
        if let Some(mut running) = self.running().take() {
            running.child.kill().ok();
            running.child.wait().ok();
        }
    }
}
