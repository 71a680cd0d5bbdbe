//! The server's configuration: one small struct per concern; file, then environment, then flags.
//!
//! `config/default.toml` is the reference: a test holds it against [`Config::default`].

mod database;
mod load;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use database::Database;
pub use load::{ConfigError, Overrides};

/// All of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens and how it stops.
    pub server: ServerConfig,
    /// Where it keeps things.
    pub storage: StorageConfig,
    /// Limits of requests.
    pub limits: LimitsConfig,
    /// The writer of examples.
    pub ingest: IngestConfig,
    /// Predictions.
    pub serving: ServingConfig,
    /// Trainers.
    pub training: TrainingConfig,
    /// Several processes on one database.
    pub fleet: FleetConfig,
    /// Logs.
    pub log: LogConfig,
}

/// Where the server listens and how it stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Seconds that requests under way have after a stop signal.
    pub stop_seconds: u64,
}

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// The folder for everything that is kept.
    pub data_dir: String,
    /// `sqlite:PATH` or `postgres://…`; empty: `perennial.db` in `data_dir`.
    pub database: String,
    /// Most connections of this process to Postgres, besides the one that appends and the one that listens.
    pub connections: u32,
    /// Milliseconds that a call waits for a connection to Postgres.
    pub connection_wait_ms: u64,
    /// Seconds that a start waits for a Postgres that does not answer yet.
    pub start_wait_seconds: u64,
    /// Whether the server applies pending migrations when it starts; otherwise it refuses a database that lacks one.
    pub migrate: bool,
    /// Where new weights and optimizer states go: empty for the database, a folder, or the URL of an object store.
    pub blobs: String,
    /// The newest versions of a learner whose weights are kept (besides what aliases name and those around growths).
    pub keep_versions: usize,
    /// Of the older versions, about so many keep their weights in every doubling of age; 0: none.
    pub keep_per_doubling: usize,
    /// The newest moves of every alias whose targets keep their weights.
    pub keep_alias_moves: usize,
    /// Days for which answers to idempotency keys are kept.
    pub idempotency_days: u32,
}

/// Limits of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Largest body in bytes, unpacked; of a longer stream the longest line, record or Arrow message.
    pub body_bytes: usize,
    /// Largest body of lines, records or Arrow batches in bytes, unpacked.
    pub stream_bytes: u64,
    /// Most examples in one JSON document.
    pub examples: usize,
    /// Most faults of examples that an answer tells of.
    pub reported_faults: usize,
    /// Most rows in one prediction.
    pub predict_rows: usize,
    /// Requests that run at once; more are shed with a 503.
    pub concurrency: usize,
    /// Seconds after which a request is given up.
    pub request_seconds: u64,
    /// Most learners.
    pub learners: usize,
    /// Most aliases of one learner.
    pub aliases: usize,
}

/// The writer of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Requests that may wait for the writer; more get a 429.
    pub queue: usize,
    /// Bytes of examples that may wait for the writer.
    pub queue_bytes: usize,
    /// Most examples in one transaction (a single larger JSON document is a transaction of its own).
    pub commit_examples: usize,
    /// Most bytes of examples that a long body brings into one transaction.
    pub commit_bytes: usize,
    /// Bytes of a body's examples that wait for its end in memory; more of them wait in a file.
    pub spool_bytes: usize,
}

/// Predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServingConfig {
    /// Rows that may wait; more get a 429.
    pub queue_rows: usize,
    /// Most rows in one batch.
    pub batch_rows: usize,
    /// Threads that predict, each a batch of its own.
    pub threads: usize,
    /// How much nicer than the process they are, 0 to 19.
    pub nice: u8,
    /// Versions kept in memory besides the live ones.
    pub cached_versions: usize,
    /// Milliseconds after which a waiting prediction is given up.
    pub deadline_ms: u64,
}

/// Trainers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// `cpu`, `cuda:N` in a build with CUDA, or `auto`.
    pub device: String,
    /// How exactly a GPU computes matrix products: `f32`, `tf32` or `bf16`.
    pub precision: String,
    /// Compute threads; 0: one for every core (one fewer, at least one, where they cannot be nicer than the rest).
    pub threads: usize,
    /// How much nicer than the process they are, 0 to 19.
    pub nice: u8,
    /// Learners that train at once.
    pub trainers: usize,
    /// Milliseconds of a learner's turn while others wait.
    pub turn_ms: u64,
    /// Milliseconds from one checkpoint to the next at most, while training.
    pub checkpoint_ms: u64,
    /// Bytes of rows kept in memory for replay, for each learner.
    pub cache_bytes: usize,
    /// Bytes of rows kept in files below the data folder, for each learner; 0: none, everything is read from the database.
    pub cache_disk_bytes: u64,
    /// Seconds after which the lease of a trainer that vanished is free again.
    pub lease_seconds: u64,
    /// Which versions keep their weights; set from `storage`.
    #[serde(skip)]
    pub retention: RetentionConfig,
    /// Where these files are; set to `cache` in `storage.data_dir`, and without it there are none.
    #[serde(skip)]
    pub cache_folder: Option<PathBuf>,
}

/// Several processes on one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// What `perennial serve` does.
    pub role: Role,
    /// Port at which a worker answers probes and shows its metrics; 0 takes a free one.
    pub worker_port: u16,
    /// Milliseconds between two looks at the store for what was not told.
    pub poll_ms: u64,
    /// Seconds for which a worker keeps a learner that has nothing to do.
    pub idle_seconds: u64,
    /// Seconds after which a worker with more to do than trainers gives a learner back for others to take.
    pub share_seconds: u64,
}

/// What `perennial serve` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes examples, predicts, and trains.
    All,
    /// Takes examples and predicts; workers train.
    Api,
}

/// Which versions of a learner keep their weights, besides those that are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// The newest.
    pub newest: usize,
    /// Of the older ones, in every doubling of age.
    pub per_doubling: usize,
    /// The newest moves of an alias whose targets are kept.
    pub alias_moves: usize,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A filter as `tracing` takes it: `info`, `perennial=debug,info`, …
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { host: "127.0.0.1".into(), port: 7878, stop_seconds: 20 }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: "perennial-data".into(),
            database: String::new(),
            connections: 10,
            connection_wait_ms: 10_000,
            start_wait_seconds: 30,
            migrate: true,
            blobs: String::new(),
            keep_versions: 20,
            keep_per_doubling: 4,
            keep_alias_moves: 5,
            idempotency_days: 7,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            stream_bytes: 1 << 30,
            examples: 10_000,
            reported_faults: 100,
            predict_rows: 1_000,
            concurrency: 512,
            request_seconds: 75,
            learners: 1_000,
            aliases: 32,
        }
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            queue: 256,
            queue_bytes: 64 << 20,
            commit_examples: 20_000,
            commit_bytes: 16 << 20,
            spool_bytes: 4 << 20,
        }
    }
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self { queue_rows: 4_096, batch_rows: 256, threads: 1, nice: 0, cached_versions: 8, deadline_ms: 5_000 }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            device: "cpu".into(),
            precision: "f32".into(),
            threads: 0,
            nice: 19,
            trainers: 1,
            turn_ms: 250,
            checkpoint_ms: 2_000,
            cache_bytes: 256 << 20,
            cache_disk_bytes: 16 << 30,
            lease_seconds: 15,
            retention: StorageConfig::default().retention(),
            cache_folder: None,
        }
    }
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { role: Role::All, worker_port: 7879, poll_ms: 500, idle_seconds: 30, share_seconds: 10 }
    }
}

impl StorageConfig {
    /// Which versions keep their weights.
    pub fn retention(&self) -> RetentionConfig {
        RetentionConfig {
            newest: self.keep_versions,
            per_doubling: self.keep_per_doubling,
            alias_moves: self.keep_alias_moves,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        StorageConfig::default().retention()
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}
