//! Servers and workers as real processes on a real Postgres: any of them may be killed or stopped under load.

#[path = "../servers/postgres.rs"]
mod postgres;

mod client;
mod kills;
mod process;
mod stops;

/// The tests follow each other: each has more processes than a small machine has cores.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
