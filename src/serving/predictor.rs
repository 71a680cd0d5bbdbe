//! The handle through which the rest of the server predicts.
//!
//! What `live` names is asked of the store at every load, so a learner's slot follows the order in which `live` moved
//! whatever the order of the notices: several moves in a row end at the newest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::aliases::AliasCache;
use super::batcher::Batcher;
use super::loader::{self, VersionCache};
use super::model::LoadedModel;
use super::queue::{Queue, Request};
use super::slot::{Slot, Slots};
use crate::compute::pool::Occupied;
use crate::config::ServingConfig;
use crate::metrics::ServingMetrics;
use crate::registry::{AliasName, LIVE, RegistryStore, VersionId};
use crate::stream::{LearnerId, LearnerName, Row, StoreError};

/// Which version answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    /// Whatever `live` names when the batch is taken.
    Live,
    /// This one.
    Version(VersionId),
}

/// The answer for one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// Probabilities in order of the version's classes.
    Classes(Vec<f32>),
    /// The value of a regression.
    Number(f64),
}

/// The answers for one request: all from one version.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which.
    pub version: VersionId,
    /// Its classes, in order of the probabilities; empty for regression.
    pub classes: Arc<[String]>,
    /// One for every row, in order.
    pub predictions: Vec<Prediction>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PredictError {
    /// The queue of rows is full. A 429.
    #[error("too many rows are waiting for a prediction")]
    QueueFull,
    /// The deadline passed in the queue. A 503.
    #[error("the prediction took longer than the deadline")]
    Deadline,
    /// No such version. A 404.
    #[error("the learner has no version {0}")]
    UnknownVersion(VersionId),
    /// No such alias. A 404.
    #[error("the learner has no such alias")]
    UnknownAlias,
    /// The weights of this version were dropped. A 410.
    #[error("the weights of version {0} are no longer kept")]
    WeightsGone(VersionId),
    /// The version cannot be loaded: damaged.
    #[error("version {0} is damaged")]
    Damaged(VersionId),
    /// Nothing of the learner is loaded. A 503.
    #[error("no version of the learner is loaded")]
    NotLoaded,
    /// The version is loaded and could not answer these rows.
    #[error("version {0} could not answer")]
    Failed(VersionId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Pauses between tries to load what `live` names while the store fails; the last one repeats.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Predicts. Cheap to clone. The batching threads end when the last clone goes.
#[derive(Clone)]
pub struct Predictor {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn RegistryStore>,
    metrics: ServingMetrics,
    slots: Slots,
    versions: VersionCache,
    aliases: AliasCache,
    queue: Arc<Queue>,
    threads: Mutex<Vec<Occupied>>,
    runtime: Handle,
}

impl Predictor {
    /// Starts the batching threads.
    ///
    /// # Panics
    /// Outside a tokio runtime, or if the system gives no thread: the server cannot start then.
    pub fn start(store: Arc<dyn RegistryStore>, config: &ServingConfig, metrics: ServingMetrics) -> Self {
        let queue = Arc::new(Queue::new(config.queue_rows, metrics.queue_rows.clone()));
        let batcher = Batcher { queue: queue.clone(), batch_rows: config.batch_rows.max(1), metrics: metrics.clone() };
        let threads = (0..config.threads.max(1))
            .map(|number| {
                batcher.clone().spawn(number, config.nice).expect("a server that gets no thread cannot start")
            })
            .collect();
        let inner = Inner {
            store,
            metrics,
            slots: Slots::default(),
            versions: VersionCache::new(config.cached_versions),
            aliases: AliasCache::default(),
            queue,
            threads: Mutex::new(threads),
            runtime: Handle::current(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Loads and warms what `live` names of a learner, then swaps it in. A failure leaves the previous one serving.
    pub async fn load_live(&self, learner: LearnerId, name: &LearnerName) -> Result<VersionId, PredictError> {
        // The slot stands before `live` is read: a move from then on finds it and loads again.
        let slot = self.inner.slots.get_or_create(learner, name, &self.inner.metrics);
        let outcome = self.inner.follow(&slot).await;
        if matches!(outcome, Err(PredictError::NotLoaded)) {
            // Without an alias there is no such learner (any more).
            self.inner.slots.remove(learner);
        }
        outcome
    }

    /// `live` moved: load in the background and swap.
    pub fn live_moved(&self, learner: LearnerId) {
        let Some(slot) = self.inner.slots.get(learner) else { return };
        if slot.moved() {
            let inner = Arc::downgrade(&self.inner);
            self.inner.runtime.spawn(async move {
                let mut failures = 0;
                loop {
                    let Some(inner) = inner.upgrade() else { return };
                    let outcome = inner.follow(&slot).await;
                    drop(inner);
                    // A store that failed may answer later; a damaged version stays damaged.
                    if matches!(outcome, Err(PredictError::Store(_))) && !slot.is_forgotten() {
                        tokio::time::sleep(RETRY_AFTER[failures.min(RETRY_AFTER.len() - 1)]).await;
                        failures += 1;
                    } else if slot.loaded() {
                        failures = 0;
                    } else {
                        return;
                    }
                }
            });
        }
    }

    /// What an alias names: at most a second old, or older where the store does not answer.
    pub async fn resolve(&self, learner: LearnerId, alias: &AliasName) -> Result<VersionId, PredictError> {
        self.inner.aliases.resolve(&*self.inner.store, learner, alias).await
    }

    /// Aliases of a learner were changed: the next prediction by one of them asks the store.
    pub fn aliases_changed(&self, learner: LearnerId) {
        self.inner.aliases.forget(learner);
    }

    /// Loads, verifies and warms a version as the store has it now, and keeps it in memory: whether it can answer, asked
    /// before an alias moves to it.
    pub async fn prepare(&self, learner: LearnerId, version: VersionId) -> Result<(), PredictError> {
        let inner = &self.inner;
        let _turn = inner.versions.loading.lock().await;
        let model = loader::load(&*inner.store, learner, version).await?;
        if inner.versions.get(learner, version).is_none() {
            inner.versions.insert(learner, model);
        }
        Ok(())
    }

    /// The version that answers now.
    pub fn serving(&self, learner: LearnerId) -> Option<VersionId> {
        Some(self.inner.slots.get(learner)?.live()?.version)
    }

    /// Forgets a deleted learner.
    pub fn forget(&self, learner: LearnerId) {
        self.inner.slots.remove(learner);
        self.inner.versions.forget(learner);
        self.inner.aliases.forget(learner);
    }

    /// Predicts these rows.
    pub async fn predict(
        &self,
        learner: LearnerId,
        choice: VersionChoice,
        rows: Vec<Row>,
        deadline: Instant,
    ) -> Result<Answer, PredictError> {
        let answer = self.inner.answer(learner, choice, rows, deadline);
        let outcome = match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PredictError::Deadline),
        };
        if let Err(error) = &outcome
            && let Some(reason) = error.reason()
        {
            self.inner.metrics.rejections.with_label_values(&[reason]).inc();
        }
        outcome
    }

    /// Answers what is queued and takes no more.
    pub async fn stop(&self) {
        self.inner.queue.close();
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.wait().is_ok())).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("a batching thread ended by a panic");
        }
    }
}

impl Inner {
    /// Loads what `live` names now, unless it is there already, and swaps it in.
    async fn follow(&self, slot: &Slot) -> Result<VersionId, PredictError> {
        let _turn = slot.loading.lock().await;
        let began = Instant::now();
        let outcome = match self.load_named(slot).await {
            Err(PredictError::Damaged(version)) if slot.live().is_none() => self.load_before(slot, version).await,
            outcome => outcome,
        };
        match &outcome {
            Ok(None) => {}
            Ok(Some(model)) => {
                slot.swap(model.clone());
                self.metrics.swap_seconds.observe(began.elapsed().as_secs_f64());
                tracing::info!(learner = slot.learner.0, version = model.version.0, "serving another version");
            }
            Err(error) => {
                slot.load_failures.inc();
                tracing::warn!(learner = slot.learner.0, %error, "the live version cannot be loaded");
            }
        }
        let serving = outcome?.or_else(|| slot.live());
        serving.map(|model| model.version).ok_or(PredictError::NotLoaded)
    }

    /// What `live` names, loaded; `None` if the slot holds it already.
    async fn load_named(&self, slot: &Slot) -> Result<Option<Arc<LoadedModel>>, PredictError> {
        let Some(version) = self.store.alias(slot.learner, LIVE).await? else {
            return Err(PredictError::NotLoaded);
        };
        if slot.live().is_some_and(|model| model.version == version) {
            return Ok(None);
        }
        let model = match self.versions.get(slot.learner, version) {
            Some(model) => model,
            None => loader::load(&*self.store, slot.learner, version).await?,
        };
        Ok(Some(model))
    }

    /// The newest version before a damaged one that loads: what serves where nothing served yet.
    async fn load_before(&self, slot: &Slot, damaged: VersionId) -> Result<Option<Arc<LoadedModel>>, PredictError> {
        slot.load_failures.inc();
        for number in (1..damaged.0).rev() {
            match loader::load(&*self.store, slot.learner, VersionId(number)).await {
                Ok(model) => {
                    tracing::error!(
                        learner = slot.learner.0,
                        damaged = damaged.0,
                        version = number,
                        "the live version is damaged; the newest sound one before it serves"
                    );
                    return Ok(Some(model));
                }
                Err(PredictError::Damaged(_) | PredictError::WeightsGone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PredictError::Damaged(damaged))
    }

    async fn answer(
        &self,
        learner: LearnerId,
        choice: VersionChoice,
        rows: Vec<Row>,
        deadline: Instant,
    ) -> Result<Answer, PredictError> {
        let slot = self.slots.get(learner).ok_or(PredictError::NotLoaded)?;
        let version = match choice {
            VersionChoice::Live => None,
            VersionChoice::Version(version) => Some(self.version(&slot, version).await?),
        };
        let (answer, receiver) = oneshot::channel();
        self.queue.push(Request { slot, version, rows, deadline, queued: Instant::now(), answer })?;
        receiver.await.unwrap_or(Err(PredictError::Stopping))
    }

    async fn version(&self, slot: &Slot, version: VersionId) -> Result<Arc<LoadedModel>, PredictError> {
        let here = || {
            let live = slot.live().filter(|model| model.version == version);
            live.or_else(|| self.versions.get(slot.learner, version))
        };
        if let Some(model) = here() {
            return Ok(model);
        }
        let _turn = self.versions.loading.lock().await;
        if let Some(model) = here() {
            return Ok(model);
        }
        let model = loader::load(&*self.store, slot.learner, version).await?;
        self.versions.insert(slot.learner, model.clone());
        Ok(model)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl PredictError {
    /// The label of the metric of rejections; `None` for what the asker got wrong.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::QueueFull => Some("queue_full"),
            Self::Deadline => Some("deadline"),
            Self::Damaged(_) => Some("damaged"),
            Self::Failed(_) | Self::NotLoaded | Self::Store(_) => Some("failed"),
            Self::Stopping => Some("stopping"),
            Self::UnknownVersion(_) | Self::UnknownAlias | Self::WeightsGone(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
