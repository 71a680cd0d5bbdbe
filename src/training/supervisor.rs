//! The supervisor: gives every learner with something to do its turns on the training pool.
//!
//! A fixed number of threads takes learners from one queue; a learner with nothing to do is only a row in a table. What
//! goes wrong in a turn, a panic included, ends that trainer alone; it is taken up again from its checkpoint.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use candle_core::Device;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::creation;
use super::environment::Environment;
use super::error::TrainingError;
use super::learner::{LearnerDocument, LearnerRecord};
use super::learner_slot::LearnerSlot;
use super::load::{Awake, dormant};
use super::residents::Residents;
use super::rows::identity;
use super::showing;
use super::status::TrainerStatus;
use super::store::{CreateError, Store};
use super::turns::TurnQueue;
use crate::compute::device;
use crate::compute::pool::Pool;
use crate::compute::precision::{Precision, PrecisionError};
use crate::config::TrainingConfig;
use crate::metrics::TrainingMetrics;
use crate::registry::VersionId;
use crate::stream::{LearnerId, StoreError};

/// Called after a commit that moved `live`.
pub type LiveMoved = Arc<dyn Fn(LearnerId, VersionId) + Send + Sync>;

/// Learners read from the store at a time.
const PAGE: usize = 100;

/// Why training cannot be started or a learner not created.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The store refused the learner.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network cannot be built from the document.
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// The precision cannot be had on the device.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The pool cannot be started.
    #[error(transparent)]
    Pool(#[from] crate::compute::pool::PoolError),
    /// Anything else that went wrong inside.
    #[error("{0}")]
    Failed(String),
}

/// The trainers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    pub(super) inner: Arc<Inner>,
}

/// What the threads share.
pub(super) struct Inner {
    pub environment: Arc<Environment>,
    pub queue: TurnQueue,
    pub residents: Residents,
    /// Set when the process stops.
    pub stopping: AtomicBool,
    /// Ends the tasks of the async runtime.
    ending: CancellationToken,
    learners: Mutex<BTreeMap<LearnerId, Arc<LearnerSlot>>>,
    pub threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Supervisor {
    /// Starts the training threads and takes up every learner of the store.
    ///
    /// # Errors
    /// The device, its precision, the threads or the store. Must be called on an async runtime that outlives it.
    pub async fn start(
        store: Arc<dyn Store>,
        config: &TrainingConfig,
        metrics: TrainingMetrics,
        live_moved: LiveMoved,
    ) -> Result<Self, SupervisorError> {
        let environment = Arc::new(Environment {
            store,
            runtime: Handle::current(),
            pool: Pool::start("training", config.threads, config.nice)?,
            device: open_device(config)?,
            metrics,
            live_moved,
            config: config.clone(),
            owner: uuid::Uuid::new_v4().to_string(),
        });
        let inner = Arc::new(Inner {
            environment,
            queue: TurnQueue::default(),
            residents: Residents::default(),
            stopping: AtomicBool::new(false),
            ending: CancellationToken::new(),
            learners: Mutex::default(),
            threads: Mutex::default(),
        });
        inner.take_up_all().await?;
        for number in 0..config.trainers.max(1) {
            let shared = inner.clone();
            let thread = thread::Builder::new()
                .name(format!("trainer-{number}"))
                .spawn(move || shared.run_turns())
                .map_err(|error| SupervisorError::Failed(format!("cannot start a trainer thread: {error}")))?;
            lock(&inner.threads).push(thread);
        }
        tokio::spawn(inner.clone().renew_leases());
        Ok(Self { inner })
    }

    /// Builds the first network, stores the learner with version 1 and takes it up. Computes off the async runtime.
    pub async fn create(&self, document: LearnerDocument) -> Result<LearnerRecord, SupervisorError> {
        let environment = self.inner.environment.clone();
        let store = environment.store.clone();
        let (document, first) = tokio::task::spawn_blocking(move || {
            creation::first_state(&environment, &document).map(|first| (document, first))
        })
        .await
        .map_err(|error| SupervisorError::Failed(format!("the first network: {error}")))??;
        let (version, checkpoint) = creation::put_blobs(&*store, first).await?;
        let record = store.create_learner(&document, version, checkpoint).await?;
        self.inner.take_up(&record).await?;
        // Rows may have come between the two.
        self.inner.notify(record.id);
        Ok(record)
    }

    /// There may be something to do: new rows, an order, changed settings.
    pub fn notify(&self, learner: LearnerId) {
        self.inner.notify(learner);
    }

    /// Ends a learner's trainer at its next step boundary and forgets it; returns when no step of it runs any more.
    pub async fn remove(&self, learner: LearnerId) {
        let Some(slot) = lock(&self.inner.learners).remove(&learner) else { return };
        slot.removed.store(true, Ordering::Relaxed);
        self.inner.queue.remove(learner).await;
        self.inner.residents.remove(learner);
        slot.set_fence(None);
        // Its rows are many allocations and files: freeing them is not for the async runtime.
        let environment = self.inner.environment.clone();
        let _ = tokio::task::spawn_blocking(move || {
            slot.trainer().take();
            environment.forget_cached(learner);
        })
        .await;
    }

    /// A snapshot of a trainer; `None` for unknown learners.
    pub fn status(&self, learner: LearnerId) -> Option<Arc<TrainerStatus>> {
        self.inner.slot(learner).map(|slot| slot.status())
    }

    /// Ends all turns at the next step boundary, writes checkpoints, gives leases back.
    pub async fn stop(&self) {
        let inner = self.inner.clone();
        inner.stopping.store(true, Ordering::Relaxed);
        inner.queue.close();
        let ended = tokio::task::spawn_blocking(move || {
            for thread in lock(&inner.threads).drain(..) {
                if thread.join().is_err() {
                    tracing::error!("a trainer thread had panicked");
                }
            }
            let slots: Vec<Arc<LearnerSlot>> = lock(&inner.learners).values().cloned().collect();
            for slot in slots {
                inner.put_away(&slot);
            }
            inner.ending.cancel();
        });
        if ended.await.is_err() {
            tracing::error!("the trainers could not be wound up");
        }
    }
}

/// Opens the device and chooses the precision, and logs which device it is and why.
fn open_device(config: &TrainingConfig) -> Result<Device, SupervisorError> {
    let opened = device::open(config.device.parse()?)?;
    let precision: Precision = config.precision.parse()?;
    match &opened.fallback {
        // Whoever says `auto` wants the server to run here too: what was chosen for a GPU waits for one.
        Some(reason) => tracing::info!(device = %opened.name, %reason, "training on the cpu"),
        None => {
            precision.choose(&opened.device)?;
            tracing::info!(device = %opened.name, precision = precision.name(), "training device");
        }
    }
    Ok(opened.device)
}

impl Inner {
    /// Gives a learner a turn; nothing for learners that are not (or no longer) here, nor during the pause after a turn that
    /// failed, at whose end one comes anyway.
    pub fn notify(&self, learner: LearnerId) {
        if self.slot(learner).is_some_and(|slot| !slot.rests()) {
            self.queue.push(learner);
        }
    }

    /// Gives a learner a turn after a while.
    pub fn notify_later(self: &Arc<Self>, learner: LearnerId, pause: Duration) {
        let inner = self.clone();
        self.environment.runtime.spawn(async move {
            tokio::select! {
                () = inner.ending.cancelled() => {}
                () = tokio::time::sleep(pause) => inner.notify(learner),
            }
        });
    }

    /// A learner's place.
    pub fn slot(&self, learner: LearnerId) -> Option<Arc<LearnerSlot>> {
        lock(&self.learners).get(&learner).cloned()
    }

    /// Forgets a learner that is no longer in the store. Called on a thread that may wait for the disk.
    pub fn forget(&self, learner: LearnerId) {
        lock(&self.learners).remove(&learner);
        self.environment.forget_cached(learner);
    }

    async fn take_up_all(&self) -> Result<(), SupervisorError> {
        let mut after = None;
        let mut cached = Vec::new();
        loop {
            let page = self.environment.store.learners(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                let environment = self.environment.clone();
                // What is left over of learners that were deleted elsewhere is only in the way: nobody waits for it.
                tokio::task::spawn_blocking(move || environment.sweep_cached(&cached));
                return Ok(());
            };
            cached.extend(page.iter().map(identity));
            after = Some(last.document.name.clone());
            for record in &page {
                self.take_up(record).await?;
            }
        }
    }

    /// Gives a learner its place; its trainer is loaded at its first turn, and only if there is something to do.
    async fn take_up(&self, record: &LearnerRecord) -> Result<(), SupervisorError> {
        let name = &record.document.name;
        let dormant = match dormant(&self.environment, record).await {
            Ok(dormant) => dormant,
            Err(TrainingError::Store(error)) if !matches!(error, StoreError::Damaged(_)) => return Err(error.into()),
            Err(error) => {
                // One damaged learner must not keep the others from starting.
                tracing::error!(learner = %name, %error, "learner cannot be taken up");
                return Ok(());
            }
        };
        showing::show(&self.environment.metrics, name.as_str(), &dormant.status);
        let slot = LearnerSlot::new(record.id, name.clone(), dormant.status);
        lock(&self.learners).insert(record.id, Arc::new(slot));
        if dormant.awake == Awake::Yes {
            self.queue.push(record.id);
        }
        Ok(())
    }

    /// Renews the leases of the trainers in memory, until the supervisor stops.
    async fn renew_leases(self: Arc<Self>) {
        let lasts = self.environment.lease();
        let mut ticks = tokio::time::interval(Duration::from_secs(self.environment.config.lease_seconds.max(1)) / 3);
        loop {
            tokio::select! {
                () = self.ending.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let slots: Vec<Arc<LearnerSlot>> = lock(&self.learners).values().cloned().collect();
            for slot in slots {
                let Some(fence) = slot.fence() else { continue };
                match self.environment.store.renew_lease(fence, lasts).await {
                    Ok(()) => {}
                    Err(StoreError::LeaseLost) if slot.fence() == Some(fence) => {
                        slot.lease_lost.store(true, Ordering::Relaxed);
                    }
                    Err(StoreError::LeaseLost) => {}
                    Err(error) => tracing::warn!(learner = %slot.name, %error, "lease not renewed"),
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
