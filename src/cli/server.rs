//! The server as one value: every part started in order, and stopped in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::config::Config;
use crate::http::{self, AppState, Services};
use crate::metrics::Metrics;
use crate::serving::Predictor;
use crate::store::SqliteStore;
use crate::stream::spool;
use crate::stream::writer::Writer;
use crate::training::{Store, Supervisor};

/// How often what is past its time is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    requests: JoinHandle<std::io::Result<()>>,
    sweeper: JoinHandle<()>,
    state: AppState,
}

impl Server {
    /// Opens the store, loads what is live, starts training and listens; when it returns, predictions are served.
    ///
    /// # Errors
    /// A store that cannot be opened, an address that cannot be listened on, a device that cannot be used.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let path = config.sqlite_path()?;
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(&path).await.with_context(|| format!("opening the database {}", path.display()))?,
        );
        if let Err(error) = spool::sweep(&config.spool_folder()) {
            warn!(%error, "what an earlier process left of long bodies cannot be removed");
        }
        let address = (config.server.host.as_str(), config.server.port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {}:{}", config.server.host, config.server.port))?;
        let address = listener.local_addr()?;

        let metrics = Metrics::new();
        let predictor = Predictor::start(store.clone(), &config.serving, metrics.serving.clone());
        let moved = predictor.clone();
        let supervisor = Supervisor::start(
            store.clone(),
            &config.training,
            metrics.training.clone(),
            Arc::new(move |learner, version| moved.live_moved(learner, version)),
        )
        .await?;
        let notified = supervisor.clone();
        let writer = Writer::start(
            store.clone(),
            &config.ingest,
            metrics.ingest.clone(),
            Arc::new(move |learner, _head| notified.notify(learner)),
        );
        let sweeper = tokio::spawn(sweep(store.clone(), config.storage.idempotency_days));
        let deadline = Duration::from_secs(config.server.stop_seconds);
        let services = Services { store, supervisor, predictor, writer };
        let state = AppState::new(services, metrics, Arc::new(config));
        state.load_learners().await.context("taking up the learners")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A dropped sender means the same as a sent stop.
            stopped.await.unwrap_or_default();
        };
        let requests = tokio::spawn(http::serve(listener, state.clone(), stopped, deadline));
        Ok(Self { address, stop, requests, sweeper, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends gracefully: no new requests, those under way until the deadline, then writer, trainers and store.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.sweeper.abort();
        // The receiver is gone only if the server ended by itself; its result says why.
        self.stop.send(()).unwrap_or_default();
        let served = self.requests.await.context("the server's task broke")?;
        let parts = async {
            self.state.writer.stop().await;
            self.state.supervisor.stop().await;
            self.state.predictor.stop().await;
            self.state.store.close().await;
        };
        let deadline = Duration::from_secs(self.state.config.server.stop_seconds);
        if tokio::time::timeout(deadline, parts).await.is_err() {
            // Nothing is lost: what a trainer was about to do stands in its journal, and what was committed is committed.
            warn!("a trainer is in the middle of long work; it is broken off and done again at the next start");
        }
        served.context("serving")
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let both = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    match both {
        Ok((mut terminate, mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        Err(error) => {
            warn!(%error, "signals cannot be heard; the process ends when it is killed");
            std::future::pending::<()>().await;
        }
    }
}

async fn sweep(store: Arc<dyn Store>, idempotency_days: u32) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = store.sweep_keys(idempotency_days).await {
            warn!(%error, "old idempotency keys cannot be swept");
        }
    }
}
