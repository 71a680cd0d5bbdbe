//! What every action works with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::directory::Directory;
use super::following::Following;
use super::standing::Standings;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::serving::Predictor;
use crate::stream::StoreError;
use crate::stream::writer::Writer;
use crate::training::{LearnerRecord, Store, Supervisor};

/// Learners read from the store at a time.
const PAGE: usize = 100;

/// The parts of a running server. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The trainers of this process, if it trains.
    pub supervisor: Option<Supervisor>,
    /// Predictions.
    pub predictor: Predictor,
    /// The writer of examples.
    pub writer: Writer,
    /// All metrics.
    pub metrics: Metrics,
    /// The configuration.
    pub config: Arc<Config>,
    /// The learners known here.
    pub(super) directory: Directory,
    /// Held while the metrics of a learner's stream are raised.
    pub(super) heads: Arc<Mutex<()>>,
    /// What was seen of the store.
    pub(super) following: Following,
    /// Where learners stand that other processes train.
    pub(super) standings: Standings,
    readiness: Arc<Readiness>,
}

#[derive(Default)]
struct Readiness {
    loaded: AtomicBool,
    stopping: AtomicBool,
}

/// The parts that do the work, for [`AppState::new`].
pub struct Services {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The trainers of this process, if it trains.
    pub supervisor: Option<Supervisor>,
    /// Predictions.
    pub predictor: Predictor,
    /// The writer of examples.
    pub writer: Writer,
}

impl AppState {
    /// The state of a server that is not ready until [`AppState::load_learners`] has run.
    pub fn new(services: Services, metrics: Metrics, config: Arc<Config>) -> Self {
        let Services { store, supervisor, predictor, writer } = services;
        let (directory, heads, readiness) = Default::default();
        let (following, standings) = Default::default();
        Self {
            store,
            supervisor,
            predictor,
            writer,
            metrics,
            config,
            directory,
            heads,
            following,
            standings,
            readiness,
        }
    }

    /// Takes up every learner of the store: its metrics, its place in the directory, its live version. From then on the
    /// server is ready. A version that cannot be loaded is logged and keeps nobody else from being served.
    pub async fn load_learners(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.learners(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.document.name.clone());
            for record in page {
                self.take_up(record).await;
            }
        }
        self.readiness.loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes up one learner: whoever finds it in the directory finds it served.
    pub(super) async fn take_up(&self, record: LearnerRecord) {
        let name = record.document.name.clone();
        self.metrics.add_learner(name.as_str());
        let head = i64::try_from(record.head.0).unwrap_or(i64::MAX);
        self.metrics.ingest.head_seq.with_label_values(&[name.as_str()]).set(head);
        if let Err(error) = self.predictor.load_live(record.id, &name).await {
            tracing::error!(learner = %name, %error, "the learner cannot be served");
        }
        self.directory.insert(record);
    }

    /// Forgets a learner that is deleted; when this returns nothing of it runs here any more.
    pub(super) async fn forget(&self, record: &LearnerRecord) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.remove(record.id).await;
        }
        self.predictor.forget(record.id);
        self.following.forget(record.id);
        self.standings.forget(record.id);
        // Whoever shows something of it looks into the directory under the same lock.
        let _one_at_a_time = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if self.directory.remove(record) {
            self.metrics.remove_learner(record.document.name.as_str());
        }
    }

    /// The server begins to stop: `/readyz` says so from now on.
    pub fn begin_stop(&self) {
        self.readiness.stopping.store(true, Ordering::Release);
    }

    /// Whether the learners were loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.readiness.loaded.load(Ordering::Acquire)
    }

    /// Whether the server is stopping.
    pub(super) fn is_stopping(&self) -> bool {
        self.readiness.stopping.load(Ordering::Acquire)
    }
}
