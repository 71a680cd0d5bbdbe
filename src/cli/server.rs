//! The server as one value: every part started in order, and stopped in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::opening::Database;
use crate::config::{Config, Role};
use crate::http::{self, AppState, Services};
use crate::metrics::{Metrics, Part};
use crate::serving::Predictor;
use crate::stream::spool;
use crate::stream::writer::Writer;
use crate::training::{Follower, Store, Supervisor, follow};

/// How often what is past its time is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    requests: JoinHandle<std::io::Result<()>>,
    sweeper: JoinHandle<()>,
    following: CancellationToken,
    state: AppState,
    /// Kept until everything has ended.
    _database: Database,
}

impl Server {
    /// Opens the store, loads what is live, starts training and listens; when it returns, predictions are served.
    ///
    /// # Errors
    /// A store that cannot be opened, an address that cannot be listened on, a device that cannot be used.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let database = Database::open(&config).await?;
        let store = database.store.clone();
        if let Err(error) = spool::sweep(&config.spool_folder()) {
            warn!(%error, "what an earlier process left of long bodies cannot be removed");
        }
        let listener = listen(&config.server.host, config.server.port).await?;
        let address = listener.local_addr()?;

        let role = config.fleet.role;
        let metrics = Metrics::of(if role == Role::Api { Part::Api } else { Part::All });
        let predictor = Predictor::start(store.clone(), &config.serving, metrics.serving.clone());
        let supervisor = match role {
            Role::Api => None,
            Role::All => {
                let sharing = database.sharing(&config);
                Some(Supervisor::start(store.clone(), &config.training, metrics.training.clone(), sharing).await?)
            }
        };
        // Nobody has to be called: whoever wants to know of a commit follows the store.
        let writer = Writer::start(store.clone(), &config.ingest, metrics.ingest.clone());
        let sweeper = tokio::spawn(sweep(store.clone(), config.storage.idempotency_days));
        let deadline = Duration::from_secs(config.server.stop_seconds);
        let look_every = Duration::from_millis(config.fleet.poll_ms);
        let services = Services { store: store.clone(), supervisor: supervisor.clone(), predictor, writer };
        let state = AppState::new(services, metrics, Arc::new(config));
        state.load_learners().await.context("taking up the learners")?;
        let mut followers: Vec<Arc<dyn Follower>> = vec![Arc::new(state.clone())];
        followers.extend(supervisor.map(|supervisor| Arc::new(supervisor) as Arc<dyn Follower>));
        let following = CancellationToken::new();
        tokio::spawn(follow::follow(store, look_every, followers, following.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A dropped sender means the same as a sent stop.
            stopped.await.unwrap_or_default();
        };
        let requests = tokio::spawn(http::serve(listener, state.clone(), stopped, deadline));
        Ok(Self { address, stop, requests, sweeper, following, state, _database: database })
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
            self.following.cancel();
            if let Some(supervisor) = &self.state.supervisor {
                supervisor.stop().await;
            }
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

/// Listens at an address.
pub async fn listen(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| format!("listening on {host}:{port}"))
}

/// Hears SIGTERM and SIGINT from now on; what is returned waits for the first of them.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let both = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    async {
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
