//! What a worker answers: probes and its metrics, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::middleware;
use super::problem::{Kind, Problem};
use super::{health, metrics};
use crate::metrics::Metrics;
use crate::training::{Change, Follower, Learners, Store, Supervisor};

/// A worker that has not seen the store for longer than this is not ready.
const UNSEEN: Duration = Duration::from_secs(15);

/// The parts of a running worker. Cheap to clone.
#[derive(Clone)]
pub struct WorkerState {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The trainers.
    pub supervisor: Supervisor,
    /// All metrics.
    pub metrics: Metrics,
    readiness: Arc<Readiness>,
}

struct Readiness {
    began: Instant,
    /// Milliseconds from the start to the newest look at the store; negative: there was none.
    seen: AtomicI64,
    stopping: AtomicBool,
}

impl WorkerState {
    /// The state of a worker that is not ready until it has seen the store.
    pub fn new(store: Arc<dyn Store>, supervisor: Supervisor, metrics: Metrics) -> Self {
        let readiness = Readiness { began: Instant::now(), seen: AtomicI64::new(-1), stopping: AtomicBool::new(false) };
        Self { store, supervisor, metrics, readiness: Arc::new(readiness) }
    }

    /// The worker begins to stop: `/readyz` says so from now on.
    pub fn begin_stop(&self) {
        self.readiness.stopping.store(true, Ordering::Release);
    }

    fn since_start(&self) -> i64 {
        i64::try_from(self.readiness.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

#[async_trait]
impl Follower for WorkerState {
    async fn told(&self, _change: Change) {}

    async fn seen(&self, _learners: &Learners) {
        self.readiness.seen.store(self.since_start(), Ordering::Release);
    }
}

/// The worker's surface.
pub fn router(state: WorkerState) -> Router {
    let all = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "this path does not take this method; `Allow` lists those it takes")
        })
        .fallback(async || {
            Problem::new(
                Kind::NotFound,
                "a worker answers /livez, /readyz and /metrics; learners are asked of a server",
            )
        });
    middleware::observed(all, &state.metrics.http).with_state(state)
}

/// Whether it can train: the store was seen lately, and the worker is not stopping.
async fn readyz(State(state): State<WorkerState>) -> Result<Json<Value>, Problem> {
    let seen = state.readiness.seen.load(Ordering::Acquire);
    let unseen = state.since_start().saturating_sub(seen);
    if state.readiness.stopping.load(Ordering::Acquire) {
        Err(Problem::new(Kind::Stopping, "the worker is stopping"))
    } else if seen < 0 || unseen > i64::try_from(UNSEEN.as_millis()).unwrap_or(i64::MAX) {
        Err(Problem::new(Kind::NotReady, "the store cannot be seen"))
    } else {
        Ok(Json(json!({"ready": true, "checks": {"training": state.supervisor.held()}})))
    }
}

async fn page(State(state): State<WorkerState>) -> impl axum::response::IntoResponse {
    metrics::page(&*state.store, &state.metrics)
}
