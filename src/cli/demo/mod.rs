//! `perennial demo`: a small network learns handwritten digits from a growing stream, and grows with it.
//!
//! Nothing here is a special case of the server: the demonstration starts it on a fresh database and then speaks to it
//! over HTTP as any client does. What grows, and when, is the policy's decision.

mod digits;
mod report;
mod story;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use super::client::Client;
use super::server::{Server, stop_signal};
use crate::config::{Config, Database, LogConfig};

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// End after the closing table instead of going on to serve.
    #[arg(long)]
    exit: bool,
    /// The port of the server; 0 takes a free one.
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// Where the database is kept; without it, in a temporary folder that is removed at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Write the closing table as JSON to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Draws the first weights and everything else that is random; another seed is another life, the same seed the same.
    #[arg(long, default_value_t = 4)]
    seed: u64,
}

/// The learner's name.
const LEARNER: &str = "digits";

pub async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    let folder = Folder::new(arguments.data_dir)?;
    let mut config = Config::default();
    config.server.port = arguments.port;
    config.storage.data_dir = folder.path.to_string_lossy().into_owned();
    config.log = LogConfig { filter: "warn".into(), ..config.log };
    ensure!(
        !matches!(config.database()?, Database::Sqlite(path) if path.exists()),
        "{} holds a database already; the demonstration begins on a fresh one",
        folder.path.display()
    );
    super::serve::start_log(&config.log)?;
    let server = Server::start(config).await?;
    let url = format!("http://{}", server.address());
    let client = Client::new(&url)?;
    let digits = digits::load()?;
    println!("Perennial serves at {url} on a fresh SQLite database in {}", folder.path.display());

    let document = learner(arguments.seed);
    let told = tokio::select! {
        told = story::tell(&client, LEARNER, &document, &digits) => told,
        () = stop_signal() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Ok(report) = &told {
        println!("\n{}", report.table());
        if let Some(file) = &arguments.report {
            let text = format!("{:#}\n", report.document());
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        if !arguments.exit {
            show_what_to_try(&url, &digits);
            stop_signal().await;
        }
    }
    server.stop().await?;
    told.map(drop)
}

/// The document of the learner: a deliberately small network, everything else as it is by default but for the seed and one
/// thing. Rounds are whole, however fast machine and network are: training is a function of stream and rounds, so the demonstration comes
/// to the same numbers every time.
fn learner(seed: u64) -> serde_json::Value {
    let classes: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    json!({
        "name": LEARNER,
        "task": {"kind": "classification", "classes": classes},
        "schema": {"features": [
            {"name": "pixels", "kind": "image", "height": 8, "width": 8, "channels": 1, "max": 16}
        ]},
        "network": {"kind": "mlp", "hidden": [8]},
        "training": {"round_rows": story::ROUND, "round_wait_ms": 60_000, "seed": seed},
    })
}

fn show_what_to_try(url: &str, digits: &digits::Digits) {
    let Some(digit) = digits.kept_back.first() else { return };
    println!("\nStill serving; end with Ctrl-C. Things to try:");
    println!("  {url}/v1/learners/{LEARNER}");
    println!("  {url}/v1/learners/{LEARNER}/growth");
    println!("  {url}/v1/learners/{LEARNER}/versions");
    println!("  {url}/metrics");
    println!("A digit that it never saw (a {}):", digit.label);
    println!(
        "  curl -s {url}/v1/learners/{LEARNER}/predict -H 'content-type: application/json' -d '{}'",
        json!({"inputs": [digit.inputs()]})
    );
    println!("A growth by hand:");
    println!("  perennial grow {LEARNER} --wider all --factor 1.5 --dry-run --server {url}");
}

/// The data folder: removed at the end if it is a temporary one.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = given.is_none();
        let path = given
            .unwrap_or_else(|| std::env::temp_dir().join(format!("perennial-demo-{}", uuid::Uuid::new_v4().simple())));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("could not remove {}: {error}", self.path.display());
        }
    }
}
