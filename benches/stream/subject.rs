//! A learner with a stream of so many rows, all of them offered to its trainer, and what is measured of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial::compute::random::{Purpose, Random};
use perennial::config::TrainingConfig;
use perennial::metrics::Metrics;
use perennial::store::SqliteStore;
use perennial::stream::cache::{SEGMENT_PLACES, SegmentNumber, StreamCache, StreamIdentity};
use perennial::stream::{Append, EncodedExample, Existing, Label, LearnerId, NewExample, Seq, Value};
use perennial::training::{LearnerPatch, Sharing, Store, Supervisor, TrainingState, creation, follow};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Numbers of a row.
const WIDTH: usize = 32;
/// New rows of the measured rounds: a hundred of them.
const NEW: u64 = 6_400;
/// Rows of one append.
const AT_ONCE: u64 = 5_000;
/// Memory for rows: the shorter streams fit, the longer do not.
const MEMORY: usize = 64 << 20;
/// Segments that are built to see how fast that is.
const BUILT: u64 = 12;

/// Whether rows are cached in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    On,
    Off,
}

/// What is measured.
pub struct Figures {
    /// Rows a second through the steps of rounds, replay included.
    pub rounds: f64,
    /// The time between the ends of two rounds, but for the slowest in a hundred.
    pub round_p99: Duration,
    /// Rows a second through the steps of a pass over history.
    pub pass: f64,
    /// From the start of a process to its first new row learned.
    pub restart: Duration,
    /// Rows a second that go into segments.
    pub build: Option<f64>,
}

/// A learner and its trainer.
pub struct Subject {
    folder: TempDir,
    cache: Cache,
    store: Arc<dyn Store>,
    metrics: Metrics,
    supervisor: Supervisor,
    /// Ends the task by which it is told of what is new.
    following: DropGuard,
    learner: LearnerId,
    rows: u64,
}

impl Subject {
    /// A learner whose trainer was offered so many rows, with next to no steps.
    pub async fn filled(rows: u64, cache: Cache) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("perennial.db")).await.expect("a database");
        let store: Arc<dyn Store> = Arc::new(store);
        let metrics = Metrics::new();
        let (supervisor, following) = start(&store, &folder, cache, &metrics).await;
        let document = json!({
            "name": "stream",
            "task": {"kind": "classification", "classes": (0..10).map(|class| class.to_string()).collect::<Vec<_>>()},
            "schema": {"features": [{"name": "x", "kind": "vector", "size": WIDTH}]},
            "network": {"kind": "mlp", "hidden": [64]},
            "training": {"steps_per_row": 0.001, "round_rows": 10_000, "max_passes": 0, "publish_rows": 1_000_000},
            "policy": {"kind": "manual"},
        });
        let document = serde_json::from_value(document).expect("a learner's document");
        let learner = creation::create(&store, document).await.expect("a new learner").id;
        let mut subject = Self { folder, cache, store, metrics, supervisor, following, learner, rows: 0 };
        subject.append(rows).await;
        subject.rest().await;
        subject
    }

    /// Everything, one after the other.
    pub async fn measured(&mut self) -> Figures {
        self.set(json!({"steps_per_row": 0.25, "round_rows": 64})).await;
        self.rest().await;
        let (rounds, round_p99) = self.rounds().await;
        self.set(json!({"max_passes": 1})).await;
        let pass = self.rate_to_rest().await;
        self.set(json!({"max_passes": 0})).await;
        self.rest().await;
        let restart = self.restart().await;
        let build = if self.cache == Cache::On { Some(self.build().await) } else { None };
        self.supervisor.stop().await;
        Figures { rounds, round_p99, pass, restart, build }
    }

    async fn append(&mut self, rows: u64) {
        let end = self.rows + rows;
        while self.rows < end {
            let until = end.min(self.rows + AT_ONCE);
            let examples = (self.rows + 1..=until).map(|seq| EncodedExample::from(example(seq))).collect();
            let append = Append { learner: self.learner, key: None, existing: Existing::Keep, examples, covers: None };
            self.store.append(vec![append]).await.expect("a durable append").remove(0).expect("the learner is there");
            self.rows = until;
        }
    }

    /// Changes settings.
    async fn set(&self, changes: Json) {
        let record = self.store.learner_by_id(self.learner).await.expect("readable").expect("there");
        let patch: LearnerPatch = serde_json::from_value(json!({ "training": changes })).expect("a patch");
        let document = record.document.apply_patch(&patch).expect("settings in their bounds");
        let updated = self.store.update_learner(self.learner, record.revision, &document).await.expect("writable");
        assert!(updated.is_some(), "nobody else changes the settings");
    }

    /// Waits until everything is learned, a look at a time; what was seen of the trainer at each.
    async fn rest(&self) -> Vec<(Instant, Seq)> {
        let mut seen: Vec<(Instant, Seq)> = Vec::new();
        let revision = self.store.learner_by_id(self.learner).await.expect("readable").expect("there").revision;
        let mut looks = 0_u64;
        loop {
            let Some(status) = self.supervisor.status(self.learner) else {
                tokio::time::sleep(Duration::from_micros(200)).await;
                continue;
            };
            if seen.last().is_none_or(|(_, seq)| *seq != status.trained_seq) {
                seen.push((Instant::now(), status.trained_seq));
            }
            looks += 1;
            if status.state == TrainingState::Idle && status.trained_seq.0 == self.rows && looks.is_multiple_of(100) {
                let checkpoint = self.store.checkpoint(self.learner).await.expect("readable").expect("there");
                if checkpoint.progress["revision"] == revision {
                    return seen;
                }
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    async fn rounds(&mut self) -> (f64, Duration) {
        self.append(NEW).await;
        let (before, started) = (self.stepped(), Instant::now());
        let seen = self.rest().await;
        let ended = seen.last().map_or_else(Instant::now, |(at, _)| *at);
        let rate = (self.stepped() - before) as f64 / (ended - started).as_secs_f64();
        let mut rounds: Vec<Duration> = seen.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        rounds.sort_unstable();
        let p99 = rounds.get(rounds.len().saturating_sub(2)).copied().unwrap_or_default();
        (rate, p99)
    }

    async fn rate_to_rest(&self) -> f64 {
        let (before, started) = (self.stepped(), Instant::now());
        self.rest().await;
        (self.stepped() - before) as f64 / started.elapsed().as_secs_f64()
    }

    async fn restart(&mut self) -> Duration {
        self.supervisor.stop().await;
        self.append(1).await;
        let started = Instant::now();
        self.metrics = Metrics::new();
        (self.supervisor, self.following) = start(&self.store, &self.folder, self.cache, &self.metrics).await;
        let seen = self.rest().await;
        seen.last().map_or_else(Instant::now, |(at, _)| *at) - started
    }

    /// Builds segments from the database alone, in a folder of their own.
    async fn build(&self) -> f64 {
        let identity = StreamIdentity { learner: self.learner, created_at: 0 };
        let metrics = Metrics::new().training.cache;
        let mut cache = StreamCache::open(&self.folder.path().join("built"), identity, 1 << 40, metrics);
        let segments = BUILT.min(self.rows / SEGMENT_PLACES);
        let started = Instant::now();
        for number in (0..segments).map(SegmentNumber) {
            let mut writer = cache.begin(number, 0).expect("there is room");
            let mut after = Seq(number.first().0 - 1);
            while after < number.last() {
                let limit = usize::try_from(number.last().0 - after.0).expect("a segment is small").min(500);
                let entries = self.store.read(self.learner, after, limit).await.expect("readable");
                entries.iter().for_each(|entry| writer.push(entry).expect("writable"));
                after = Seq(after.0 + entries.len() as u64);
            }
            cache.seal(writer);
        }
        (segments * SEGMENT_PLACES) as f64 / started.elapsed().as_secs_f64()
    }

    /// Rows that went through steps.
    fn stepped(&self) -> u64 {
        self.metrics.training.examples.with_label_values(&["stream"]).get()
    }
}

async fn start(store: &Arc<dyn Store>, folder: &TempDir, cache: Cache, metrics: &Metrics) -> (Supervisor, DropGuard) {
    let cache_folder: Option<PathBuf> = (cache == Cache::On).then(|| folder.path().join("cache"));
    let config = TrainingConfig { cache_bytes: MEMORY, cache_folder, nice: 0, ..TrainingConfig::default() };
    let supervisor =
        Supervisor::start(store.clone(), &config, metrics.training.clone(), Sharing::Alone).await.expect("trainers");
    let stop = CancellationToken::new();
    let looks = Duration::from_millis(500);
    tokio::spawn(follow::follow(store.clone(), looks, vec![Arc::new(supervisor.clone())], stop.clone()));
    (supervisor, stop.drop_guard())
}

fn example(seq: u64) -> NewExample {
    let mut random = Random::keyed(3, Purpose::Demonstration, seq, "stream");
    let class = seq % 10;
    let shifted = |index: usize, noise: f64| noise + if index as u64 % 10 == class { 1.0 } else { 0.0 };
    let row = (0..WIDTH).map(|index| shifted(index, random.normal()) as f32).collect();
    NewExample { id: None, row: vec![Value::Vector(row)], label: Label::Class(class.to_string()) }
}
