//! The supervisor: gives every learner with something to do its turns on the training pool.
//!
//! A fixed number of threads takes learners from one queue; a learner with nothing to do is only a row in a table. What
//! goes wrong in a turn, a panic included, ends that trainer alone; it is taken up again from its checkpoint. It has to be
//! followed ([`super::follow`]): what there is to do it learns from the store, as every process of a fleet does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use candle_core::Device;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::error::TrainingError;
use super::fleet::{self, Overview};
use super::learner::LearnerRecord;
use super::learner_slot::{LearnerSlot, Looked};
use super::residents::Residents;
use super::rows::identity;
use super::sharing::{Share, Sharing};
use super::showing;
use super::standing::{Awake, dormant};
use super::status::TrainerStatus;
use super::store::Store;
use super::turns::TurnQueue;
use crate::compute::device;
use crate::compute::pool::Pool;
use crate::compute::precision::{Precision, PrecisionError};
use crate::config::TrainingConfig;
use crate::metrics::TrainingMetrics;
use crate::stream::{LearnerId, StoreError};

/// Learners read from the store at a time.
const PAGE: usize = 100;

/// Why training cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// The precision cannot be had on the device.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The pool cannot be started.
    #[error(transparent)]
    Pool(#[from] crate::compute::pool::PoolError),
    /// The system gives no thread.
    #[error("cannot start a trainer thread: {0}")]
    Thread(std::io::Error),
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
    /// This process's part of the learners.
    pub share: Share,
    /// Ends the tasks of the async runtime.
    pub ending: CancellationToken,
    learners: Mutex<BTreeMap<LearnerId, Arc<LearnerSlot>>>,
    /// What could not be taken up, as it looked then: it is not tried again before something changes.
    damaged: Mutex<BTreeMap<LearnerId, Looked>>,
    /// Held while a learner is removed: whoever comes second returns when it is gone, too.
    removing: tokio::sync::Mutex<()>,
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
        sharing: Sharing,
    ) -> Result<Self, SupervisorError> {
        let environment = Arc::new(Environment {
            store,
            runtime: Handle::current(),
            pool: Pool::start("training", config.threads, config.nice)?,
            device: open_device(config)?,
            metrics,
            config: config.clone(),
            owner: fleet::process_name(),
        });
        let inner = Arc::new(Inner {
            environment,
            queue: TurnQueue::default(),
            residents: Residents::default(),
            stopping: AtomicBool::new(false),
            share: Share::new(sharing, config.trainers),
            ending: CancellationToken::new(),
            learners: Mutex::default(),
            damaged: Mutex::default(),
            removing: tokio::sync::Mutex::default(),
            threads: Mutex::default(),
        });
        inner.take_up_all().await?;
        for number in 0..config.trainers.max(1) {
            let shared = inner.clone();
            let thread = thread::Builder::new()
                .name(format!("trainer-{number}"))
                .spawn(move || shared.run_turns())
                .map_err(SupervisorError::Thread)?;
            lock(&inner.threads).push(thread);
        }
        tokio::spawn(inner.clone().renew_leases());
        Ok(Self { inner })
    }

    /// Ends a learner's trainer at its next step boundary and forgets it; returns when no step of it runs any more.
    pub async fn remove(&self, learner: LearnerId) {
        let _one_at_a_time = self.inner.removing.lock().await;
        let Some(slot) = lock(&self.inner.learners).remove(&learner) else { return };
        slot.removed.store(true, Ordering::Relaxed);
        self.inner.queue.remove(learner).await;
        self.inner.let_go(&slot);
        self.inner.environment.metrics.remove_learner(slot.name.as_str());
        // Its rows are many allocations and files: freeing them is not for the async runtime.
        let environment = self.inner.environment.clone();
        let _ = tokio::task::spawn_blocking(move || {
            slot.trainer().take();
            environment.forget_cached(learner);
        })
        .await;
    }

    /// A snapshot of a trainer; `None` for learners that are unknown here or that another process has trained since.
    pub fn status(&self, learner: LearnerId) -> Option<Arc<TrainerStatus>> {
        self.inner.slot(learner).filter(|slot| slot.is_current() && !slot.is_elsewhere()).map(|slot| slot.status())
    }

    /// How many learners this process holds.
    pub fn held(&self) -> usize {
        self.inner.slots().iter().filter(|slot| slot.fence().is_some()).count()
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
            for slot in inner.slots() {
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
        if self.slot(learner).is_some_and(|slot| !slot.is_paused()) {
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

    /// All places.
    pub fn slots(&self) -> Vec<Arc<LearnerSlot>> {
        lock(&self.learners).values().cloned().collect()
    }

    /// Forgets a learner that is no longer in the store. Called on a thread that may wait for the disk.
    pub fn forget(&self, slot: &LearnerSlot) {
        lock(&self.learners).remove(&slot.learner);
        self.environment.forget_cached(slot.learner);
        self.environment.metrics.remove_learner(slot.name.as_str());
    }

    async fn take_up_all(self: &Arc<Self>) -> Result<(), SupervisorError> {
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
    pub async fn take_up(self: &Arc<Self>, record: &LearnerRecord) -> Result<(), StoreError> {
        let name = &record.document.name;
        let store = &self.environment.store;
        let Some(overview) = store.overview_of(record.id).await? else { return Ok(()) };
        let looked = Looked::at(&overview);
        if lock(&self.damaged).get(&record.id) == Some(&looked) {
            return Ok(());
        }
        let dormant = match dormant(&**store, record).await {
            Ok(dormant) => dormant,
            Err(TrainingError::Store(error)) if !matches!(error, StoreError::Damaged(_)) => return Err(error),
            Err(error) => {
                // One damaged learner must not keep the others from starting.
                tracing::error!(learner = %name, %error, "learner cannot be taken up");
                lock(&self.damaged).insert(record.id, looked);
                return Ok(());
            }
        };
        if self.share.is_alone() {
            self.environment.metrics.add_learner(name.as_str());
            showing::show(&self.environment.metrics, name.as_str(), &dormant.status);
        }
        let slot = Arc::new(LearnerSlot::new(record.id, name.clone(), dormant.status, overview.token));
        let slot = lock(&self.learners).entry(record.id).or_insert(slot).clone();
        self.follow_up(&slot, &overview, dormant.awake);
        Ok(())
    }

    /// Gives a learner that has something to do its first turn.
    fn follow_up(self: &Arc<Self>, slot: &Arc<LearnerSlot>, overview: &Overview, awake: Awake) {
        slot.set_elsewhere(overview.trained_elsewhere(&self.environment.owner).is_some());
        if awake == Awake::Yes && !slot.is_elsewhere() {
            self.take_soon(slot);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
