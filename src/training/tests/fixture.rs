//! A store on disk, small learners and small streams.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::compute::random::{Purpose, Random};
use crate::config::{FleetConfig, TrainingConfig};
use crate::metrics::Metrics;
use crate::store::SqliteStore;
use crate::stream::{Append, EncodedExample, Existing, Label, LearnerId, NewExample, Value};
use crate::training::environment::Environment;
use crate::training::store::Store;
use crate::training::trainer::Trainer;
use crate::training::{
    Checkpoint, JournalEvent, LearnerDocument, LearnerRecord, Overview, Sharing, Supervisor, TrainerStatus,
    TrainingState, creation, follow,
};

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a fixture's supervisors look at the store.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A store in a folder of its own.
pub struct Fixture {
    folder: TempDir,
    pub store: Arc<dyn Store>,
}

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        Self { folder, store }
    }

    /// A supervisor with one trainer thread and short turns.
    pub async fn supervisor(&self) -> Supervisor {
        self.follow(short_turns(), Sharing::Alone).await
    }

    /// One that writes no checkpoint while it trains, but those of growths and versions.
    pub async fn careless_supervisor(&self) -> Supervisor {
        self.follow(TrainingConfig { checkpoint_ms: u64::MAX, ..short_turns() }, Sharing::Alone).await
    }

    /// One that shares the learners with others, as a worker does; its lease lasts a second.
    pub async fn worker(&self, fleet: FleetConfig) -> Supervisor {
        self.follow(TrainingConfig { lease_seconds: 1, ..short_turns() }, Sharing::Fleet(fleet)).await
    }

    /// A worker that writes no checkpoint while it trains, but those of growths and versions.
    pub async fn careless_worker(&self, fleet: FleetConfig) -> Supervisor {
        let config = TrainingConfig { lease_seconds: 1, checkpoint_ms: u64::MAX, ..short_turns() };
        self.follow(config, Sharing::Fleet(fleet)).await
    }

    async fn follow(&self, config: TrainingConfig, sharing: Sharing) -> Supervisor {
        let metrics = Metrics::new().training;
        let supervisor = Supervisor::start(self.store.clone(), &config, metrics, sharing).await.unwrap();
        let stop = supervisor.inner.ending.clone();
        tokio::spawn(follow::follow(self.store.clone(), LOOK_EVERY, vec![Arc::new(supervisor.clone())], stop));
        supervisor
    }

    /// Waits until the store shows a learner as wanted; it is looked at whenever something is told, and now and then.
    pub async fn until(&self, learner: LearnerId, wanted: impl Fn(&Overview) -> bool) -> Overview {
        let mut changes = self.store.changes();
        let watch = async {
            loop {
                let overview = self.store.overview_of(learner).await.unwrap().unwrap();
                if wanted(&overview) {
                    return overview;
                }
                tokio::time::timeout(LOOK_EVERY, changes.next()).await.ok();
            }
        };
        tokio::time::timeout(PATIENCE, watch).await.expect("the learner never came so far")
    }

    /// The rounds of a learner's journal, checked: each begins where the one before it ended.
    pub async fn rounds(&self, learner: LearnerId) -> Vec<(u64, u64)> {
        let journal = self.journal(learner).await;
        let rounds = journal.iter().filter_map(|event| match event {
            JournalEvent::Round { first, last } => Some((first.0, last.0)),
            _ => None,
        });
        let rounds: Vec<(u64, u64)> = rounds.collect();
        let firsts: Vec<u64> = rounds.iter().map(|round| round.0).collect();
        let expected: Vec<u64> = std::iter::once(1).chain(rounds.iter().map(|round| round.1 + 1)).collect();
        assert_eq!(firsts, expected[..rounds.len()], "every row is offered as new exactly once");
        rounds
    }

    /// One like it that holds no row in memory and caches them in files.
    pub async fn cached_supervisor(&self) -> Supervisor {
        let config = TrainingConfig {
            turn_ms: 5,
            checkpoint_ms: u64::MAX,
            threads: 1,
            cache_bytes: 0,
            cache_folder: Some(self.cache_folder()),
            ..TrainingConfig::default()
        };
        self.follow(config, Sharing::Alone).await
    }

    pub fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// How many corrections of a stream are followed.
    pub async fn followed(&self, learner: LearnerId) -> u64 {
        self.checkpoint(learner).await.progress["corrections"].as_u64().unwrap()
    }

    /// Appends examples to a stream.
    pub async fn append(&self, learner: LearnerId, examples: Vec<NewExample>) {
        let examples = examples.into_iter().map(EncodedExample::from).collect();
        let append = Append { learner, key: None, existing: Existing::Keep, examples, covers: None };
        self.store.append(vec![append]).await.unwrap().remove(0).unwrap();
    }

    pub async fn checkpoint(&self, learner: LearnerId) -> Checkpoint {
        self.store.checkpoint(learner).await.unwrap().unwrap()
    }

    /// The folder of the store's file `perennial.db`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything in the journal.
    pub async fn journal(&self, learner: LearnerId) -> Vec<JournalEvent> {
        let records = self.store.journal(learner, 0, &[], 100_000).await.unwrap();
        records.into_iter().map(|record| record.event).collect()
    }
}

/// Waits until something that nobody tells is so.
pub async fn eventually(is_so: impl Fn() -> bool) {
    let watch = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, watch).await.expect("it never came so far");
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
                if let Some(status) = self.status(learner).filter(|status| wanted(status)) {
                    return status;
                }
                // Nothing of it ends here while another process has it.
                tokio::time::timeout(LOOK_EVERY, ended).await.ok();
            }
        };
        tokio::time::timeout(PATIENCE, watch).await.expect("the learner never came so far")
    }

    /// There may be something to do.
    pub fn notify(&self, learner: LearnerId) {
        self.inner.notify(learner);
    }

    /// Ends as a killed process does: nothing is written any more, and its leases have to run out.
    pub async fn die(self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        self.inner.queue.close();
        self.inner.ending.cancel();
        let slots = self.inner.slots();
        let gone = move || slots.iter().for_each(|slot| drop(slot.trainer().take()));
        tokio::task::spawn_blocking(gone).await.unwrap();
        self.stop().await;
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

    /// Waits until a learner has followed so many corrections and rests.
    pub async fn corrected(&self, fixture: &Fixture, learner: LearnerId, corrections: u64) {
        let watch = async {
            loop {
                let ended = self.inner.queue.ended().notified();
                let rests = self.status(learner).unwrap().state == TrainingState::Idle;
                if rests && fixture.followed(learner).await == corrections {
                    return;
                }
                self.notify(learner);
                ended.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), watch).await.expect("the corrections were never followed");
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

/// Settings for little training in short turns, no nicer than whatever else the machine does: tests wait for it.
fn short_turns() -> TrainingConfig {
    TrainingConfig { turn_ms: 5, checkpoint_ms: 20, threads: 1, nice: 0, ..TrainingConfig::default() }
}

/// A learner in the store, taken up by this supervisor.
pub async fn create(supervisor: &Supervisor, name: &str, changes: Json) -> LearnerRecord {
    let record = creation::create(&supervisor.inner.environment.store, document(name, changes)).await.unwrap();
    supervisor.inner.take_up(&record).await.unwrap();
    record
}

/// A learner's trainer, to be run by hand where nobody else trains. Not on a thread of the async runtime.
pub fn load(environment: &Arc<Environment>, learner: LearnerId) -> Trainer {
    let lease = environment.store.acquire_lease(learner, &environment.owner, environment.lease());
    Trainer::load(environment, environment.wait(lease).unwrap().unwrap()).unwrap()
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
