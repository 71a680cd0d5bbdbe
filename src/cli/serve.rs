//! `perennial serve`: the server, from configuration to graceful stop.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::Context;
use clap::Args;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::server::{Server, stop_signal};
use crate::config::{Config, LogConfig, LogFormat, Overrides, Role};

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// What it does: `all`, or `api` to leave training to `perennial worker` on the same Postgres [default: all].
    #[arg(long, env = "PERENNIAL_ROLE")]
    role: Option<Role>,
    /// The port to listen on; 0 takes a free one [default: 7878].
    #[arg(long, env = "PERENNIAL_PORT")]
    port: Option<u16>,
    /// The address to listen on; anything but a loopback address is open to the network [default: 127.0.0.1].
    #[arg(long, env = "PERENNIAL_HOST")]
    host: Option<String>,
    /// The folder for everything that is kept [default: perennial-data].
    #[arg(long, env = "PERENNIAL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The database, `sqlite:PATH` or `postgres://user@host/database` [default: perennial.db in the data folder].
    /// A password is better given by PERENNIAL_DATABASE, PGPASSWORD or .pgpass, because processes' arguments can be seen.
    #[arg(long, env = "PERENNIAL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// What trains: `cpu`, `cuda:N`, or `auto` for `cuda:0` where it can be used [default: cpu].
    #[arg(long, env = "PERENNIAL_DEVICE")]
    device: Option<String>,
    /// A configuration file; `config/default.toml` shows every key.
    #[arg(long, env = "PERENNIAL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let config = Config::load(&Overrides {
        file: arguments.config,
        host: arguments.host,
        port: arguments.port,
        data_dir: arguments.data_dir,
        database: arguments.database,
        device: arguments.device,
        role: arguments.role,
        ..Overrides::default()
    })?;
    start_log(&config.log)?;
    // Whoever reads that it listens may ask it to stop at once.
    let mut stopped = pin!(stop_signal());
    let server = tokio::select! {
        server = Server::start(config) => server?,
        () = &mut stopped => return Ok(()),
    };
    let address = server.address();
    warn_of_network(address);
    info!(%address, "ready");
    println!("perennial listens on http://{address}");
    stopped.await;
    info!("stopping");
    server.stop().await
}

/// Says so if whoever reaches the network reaches this process.
pub fn warn_of_network(address: SocketAddr) {
    if !address.ip().is_loopback() {
        warn!(%address, "listening on a network address without authentication: whoever reaches it can use everything that is there");
    }
}

/// Starts the log on standard error.
pub fn start_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => config.filter.clone(),
    };
    let filter = EnvFilter::try_new(filter).context("log.filter")?;
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
