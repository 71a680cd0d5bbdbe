//! The crash harness: a real server is killed again and again while examples, corrections, predictions, growth orders, settings
//! and deletions come in; a checker looks after every kill, and in the end every learner's life is lived again and compared. On
//! Postgres the database is killed too, in the midst of it. `perennial migrate` is killed on databases of the first release.
//!
//! `PERENNIAL_CRASH_KILLS` says how often the server is killed on SQLite (100; a fifth of that on Postgres, half of it in
//! migrations), `PERENNIAL_CRASH_SEED` repeats a schedule (the moments of the kills are its own; what the server is doing then is
//! the machine's), `PERENNIAL_CRASH_BINARY` takes another binary, a release build for one. When something is wrong the data
//! folder is kept, and its path and the seed are printed.

#[path = "../servers/postgres.rs"]
mod postgres;
#[path = "../fixtures/release.rs"]
mod release;

mod checker;
mod clients;
mod corrections;
mod dice;
mod drafts;
mod learners;
mod ledger;
mod migrations;
mod moment;
mod outage;
mod process;
mod run;
mod shared;
mod storage;
mod tables;
mod watch;

use std::sync::Arc;

use dice::Dice;
use postgres::PostgresServer;
use run::Run;
use storage::Storage;

/// The runs follow each other: each has more processes than a small machine has cores.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no whole number")))
}

/// So many percent of the kills that the environment asks for, and the seed.
fn kills(percent: u64) -> (u64, u64) {
    let kills = setting("PERENNIAL_CRASH_KILLS").unwrap_or(100) * percent / 100;
    (kills, setting("PERENNIAL_CRASH_SEED").unwrap_or_else(dice::any_seed))
}

/// Lives on a database until its server was killed as often as its share of the kills says.
async fn live(folder: tempfile::TempDir, storage: Storage, percent: u64) {
    let (kills, seed) = kills(percent);
    let run = Run::new(storage.clone(), Dice::new(seed));
    // In a task of its own, so that the folder is kept also when something in it panics.
    let fault = match tokio::spawn(run.live(kills)).await {
        Ok(Ok(summary)) => return println!("seed {seed}: {summary}"),
        Ok(Err(fault)) => fault,
        Err(panic) => panic.to_string(),
    };
    storage.keep();
    panic!("{fault}\nPERENNIAL_CRASH_SEED={seed}, the data is kept in {}", folder.keep().display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_with_a_hundred_kills_loses_nothing_and_is_the_life_without_them() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::sqlite(folder.path());
    live(folder, storage, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_on_postgres_with_kills_of_server_and_database_loses_nothing_and_is_the_life_without_them() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::postgres(folder.path(), &Arc::new(server), "template0");
    live(folder, storage, 20).await;
}
