//! `perennial worker`: trains what servers take in, any number of them on one database.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::opening::Database;
use super::serve::{start_log, warn_of_network};
use super::server::{listen, stop_signal};
use crate::config::{Config, Overrides};
use crate::http::{self, WorkerState};
use crate::metrics::{Metrics, Part};
use crate::training::{Follower, Supervisor, follow};

#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// What trains: `cpu`, `cuda:N`, or `auto` for `cuda:0` where it can be used [default: cpu].
    #[arg(long, env = "PERENNIAL_DEVICE")]
    device: Option<String>,
    /// The database that it shares with servers and other workers, `postgres://user@host/database`.
    /// A password is better given by PERENNIAL_DATABASE, PGPASSWORD or .pgpass, because processes' arguments can be seen.
    #[arg(long, env = "PERENNIAL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// The port for /livez, /readyz and /metrics; 0 takes a free one [default: 7879].
    #[arg(long, env = "PERENNIAL_WORKER_PORT")]
    port: Option<u16>,
    /// The address to listen on [default: 127.0.0.1].
    #[arg(long, env = "PERENNIAL_HOST")]
    host: Option<String>,
    /// The folder for what it keeps for itself [default: perennial-data].
    #[arg(long, env = "PERENNIAL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A configuration file; `config/default.toml` shows every key.
    #[arg(long, env = "PERENNIAL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(arguments: WorkerArguments) -> anyhow::Result<()> {
    let config = Config::load(&Overrides {
        file: arguments.config,
        host: arguments.host,
        worker_port: arguments.port,
        data_dir: arguments.data_dir,
        database: arguments.database,
        device: arguments.device,
        ..Overrides::default()
    })?;
    start_log(&config.log)?;
    let mut stopped = pin!(stop_signal());
    let worker = tokio::select! {
        worker = Worker::start(config) => worker?,
        () = &mut stopped => return Ok(()),
    };
    warn_of_network(worker.address);
    info!(address = %worker.address, "ready");
    println!("perennial worker listens on http://{}", worker.address);
    stopped.await;
    info!("stopping");
    worker.stop().await
}

/// A running worker.
struct Worker {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    requests: JoinHandle<std::io::Result<()>>,
    following: CancellationToken,
    state: WorkerState,
    deadline: Duration,
}

impl Worker {
    /// Opens the store, starts training and listens.
    async fn start(config: Config) -> anyhow::Result<Self> {
        let database = Database::open_shared(&config).await?;
        let store = database.store.clone();
        let listener = listen(&config.server.host, config.fleet.worker_port).await?;
        let address = listener.local_addr()?;
        let metrics = Metrics::of(Part::Worker);
        let sharing = database.sharing(&config);
        let supervisor = Supervisor::start(store.clone(), &config.training, metrics.training.clone(), sharing).await?;
        let state = WorkerState::new(store.clone(), supervisor.clone(), metrics);
        let followers: Vec<Arc<dyn Follower>> = vec![Arc::new(supervisor), Arc::new(state.clone())];
        let following = CancellationToken::new();
        let look_every = Duration::from_millis(config.fleet.poll_ms);
        tokio::spawn(follow::follow(store, look_every, followers, following.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A dropped sender means the same as a sent stop.
            stopped.await.unwrap_or_default();
        };
        let deadline = Duration::from_secs(config.server.stop_seconds);
        let requests = tokio::spawn(http::serve_worker(listener, state.clone(), stopped, deadline));
        Ok(Self { address, stop, requests, following, state, deadline })
    }

    /// Ends gracefully: checkpoints are written and leases given back, so that others go on at once.
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).unwrap_or_default();
        let served = self.requests.await.context("the worker's task broke")?;
        let parts = async {
            self.following.cancel();
            self.state.supervisor.stop().await;
            self.state.store.close().await;
        };
        if tokio::time::timeout(self.deadline, parts).await.is_err() {
            // Nothing is lost: another worker does it again from the checkpoint once the lease has run out.
            warn!("a trainer is in the middle of long work; it is broken off and done again elsewhere");
        }
        served.context("serving")
    }
}
