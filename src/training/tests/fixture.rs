//! A store on disk, small learners and small streams.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::compute::random::{Purpose, Random};
use crate::config::TrainingConfig;
use crate::metrics::Metrics;
use crate::store::SqliteStore;
use crate::stream::{Append, Existing, Label, LearnerId, NewExample, Value};
use crate::training::store::Store;
use crate::training::supervisor::LiveMoved;
use crate::training::{
    Checkpoint, JournalEvent, LearnerDocument, LearnerRecord, Supervisor, TrainerStatus, TrainingState,
};

/// A store in a folder of its own.
pub struct Fixture {
    _folder: TempDir,
    pub store: Arc<dyn Store>,
}

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        Self { _folder: folder, store }
    }

    /// A supervisor with one trainer thread and short turns.
    pub async fn supervisor(&self) -> Supervisor {
        self.supervisor_that(Arc::new(|_, _| {})).await
    }

    /// One that calls `live_moved`.
    pub async fn supervisor_that(&self, live_moved: LiveMoved) -> Supervisor {
        let config = TrainingConfig { turn_ms: 5, checkpoint_ms: 20, threads: 1, ..TrainingConfig::default() };
        Supervisor::start(self.store.clone(), &config, Metrics::new().training, live_moved).await.unwrap()
    }

    /// One that writes no checkpoint while it trains, but those of growths and versions.
    pub async fn careless_supervisor(&self) -> Supervisor {
        let config = TrainingConfig { turn_ms: 5, checkpoint_ms: u64::MAX, threads: 1, ..TrainingConfig::default() };
        Supervisor::start(self.store.clone(), &config, Metrics::new().training, Arc::new(|_, _| {})).await.unwrap()
    }

    /// Appends examples to a stream.
    pub async fn append(&self, learner: LearnerId, examples: Vec<NewExample>) {
        let append = Append { learner, key: None, existing: Existing::Keep, examples };
        self.store.append(vec![append]).await.unwrap().remove(0).unwrap();
    }

    pub async fn checkpoint(&self, learner: LearnerId) -> Checkpoint {
        self.store.checkpoint(learner).await.unwrap().unwrap()
    }

    /// Everything in the journal.
    pub async fn journal(&self, learner: LearnerId) -> Vec<JournalEvent> {
        let records = self.store.journal(learner, 0, &[], 100_000).await.unwrap();
        records.into_iter().map(|record| record.event).collect()
    }
}

pub async fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&folder.join("perennial.db")).await.unwrap())
}

impl Supervisor {
    /// Waits until a learner's status is as wanted.
    pub async fn until(&self, learner: LearnerId, wanted: impl Fn(&TrainerStatus) -> bool) -> Arc<TrainerStatus> {
        let watch = async {
            loop {
                let ended = self.inner.queue.ended().notified();
                let status = self.status(learner).unwrap();
                if wanted(&status) {
                    return status;
                }
                ended.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), watch).await.expect("the learner never came so far")
    }

    /// Loses what it has in memory of a learner, as a killed process would, and stops.
    pub async fn crash(self, learner: LearnerId) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        self.inner.queue.close();
        let slot = self.inner.slot(learner).unwrap();
        let trainer = tokio::task::spawn_blocking(move || slot.trainer().take()).await.unwrap();
        if let Some(trainer) = trainer {
            // The lease would run out by itself.
            trainer.environment.store.release_lease(trainer.fence).await.unwrap();
        }
        self.stop().await;
    }

    /// Waits until a learner has learned everything up to `seq` and rests.
    pub async fn rested(&self, learner: LearnerId, seq: u64) -> Arc<TrainerStatus> {
        self.notify(learner);
        self.until(learner, |status| status.state == TrainingState::Idle && status.trained_seq.0 == seq).await
    }
}

/// A learner of two numbers `x` and `y` and two classes, with these settings over its own.
pub fn document(name: &str, changes: Json) -> LearnerDocument {
    let mut document = json!({
        "name": name,
        "task": {"kind": "classification", "classes": ["left", "right"]},
        "schema": {"features": [{"name": "x", "kind": "numeric"}, {"name": "y", "kind": "numeric"}]},
        "network": {"kind": "mlp", "hidden": [4]},
        "training": {"learning_rate": 0.02, "max_passes": 3, "round_wait_ms": 1, "publish_rows": 100},
        "policy": {"kind": "manual"},
    });
    for (key, value) in changes.as_object().unwrap() {
        match (document[key].as_object_mut(), value) {
            (Some(known), Json::Object(new)) if key == "training" => known.extend(new.clone()),
            _ => document[key] = value.clone(),
        }
    }
    serde_json::from_value(document).unwrap()
}

pub async fn create(supervisor: &Supervisor, name: &str, changes: Json) -> LearnerRecord {
    supervisor.create(document(name, changes)).await.unwrap()
}

/// Points left and right of a line, `count` after the first `skip` of the stream.
pub fn points(skip: u64, count: u64) -> Vec<NewExample> {
    (skip..skip + count)
        .map(|index| {
            let mut random = Random::keyed(7, Purpose::Demonstration, index, "points");
            let (x, y) = (random.normal(), random.normal());
            let class = if x + 0.5 * y > 0.0 { "right" } else { "left" };
            example(vec![Value::Number(x), Value::Number(y)], Label::Class(class.into()))
        })
        .collect()
}

pub fn example(row: Vec<Value>, label: Label) -> NewExample {
    NewExample { id: None, row, label }
}
