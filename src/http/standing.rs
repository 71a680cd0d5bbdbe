//! Where a learner's trainer stands: by its own word if it is in this process, by its checkpoint if it is elsewhere.
//!
//! What is read of a checkpoint is kept while nothing changes, for a moment, so that pages which ask again and again cost
//! one small query.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::problem::Problem;
use super::state::AppState;
use crate::stream::LearnerId;
use crate::training::standing::standing;
use crate::training::{LearnerRecord, Overview, TrainerStatus};

/// How long what was read is good.
const FRESH: Duration = Duration::from_secs(1);

/// A trainer as it is shown.
pub struct Standing {
    /// What it does and what is measured of it.
    pub status: Arc<TrainerStatus>,
    /// The process that holds the learner's lease.
    pub holder: Option<String>,
}

/// The newest standings. Cheap to clone.
#[derive(Clone, Default)]
pub struct Standings(Arc<Mutex<BTreeMap<LearnerId, Read>>>);

struct Read {
    at: Instant,
    of: Overview,
    status: Arc<TrainerStatus>,
}

impl Standings {
    /// Forgets a learner.
    pub fn forget(&self, learner: LearnerId) {
        self.read().remove(&learner);
    }

    fn get(&self, overview: &Overview) -> Option<Arc<TrainerStatus>> {
        let read = self.read();
        let read = read.get(&overview.learner)?;
        (read.at.elapsed() < FRESH && is_same(&read.of, overview)).then(|| read.status.clone())
    }

    fn keep(&self, overview: Overview, status: Arc<TrainerStatus>) {
        let mut standings = self.read();
        // What nobody has asked for lately goes, so that this holds no more than is looked at.
        standings.retain(|_, read| read.at.elapsed() < FRESH);
        standings.insert(overview.learner, Read { at: Instant::now(), of: overview, status });
    }

    fn read(&self) -> MutexGuard<'_, BTreeMap<LearnerId, Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the trainer of a learner stands.
pub async fn of(state: &AppState, record: &LearnerRecord) -> Result<Standing, Problem> {
    let overview = state.store.overview_of(record.id).await?.ok_or_else(Problem::learner_not_found)?;
    let holder = overview.holder.as_ref().filter(|holder| !holder.expires_in.is_zero());
    let holder = holder.map(|holder| holder.owner.clone());
    if let Some(status) = state.supervisor.as_ref().and_then(|supervisor| supervisor.status(record.id)) {
        return Ok(Standing { status, holder });
    }
    if let Some(status) = state.standings.get(&overview) {
        return Ok(Standing { status, holder });
    }
    let status = standing(&*state.store, record, &overview).await?.ok_or_else(Problem::learner_not_found)?;
    let status = Arc::new(status);
    state.standings.keep(overview, status.clone());
    Ok(Standing { status, holder })
}

/// Whether two looks show the same, whatever time has passed.
fn is_same(one: &Overview, other: &Overview) -> bool {
    let timeless = |overview: &Overview| {
        let holder = overview.holder.as_ref().map(|holder| !holder.expires_in.is_zero());
        (
            (overview.token, holder, overview.failure.is_some()),
            (overview.head, overview.trained_seq, overview.position, overview.last_version),
            (overview.revision, overview.orders),
        )
    };
    timeless(one) == timeless(other)
}
