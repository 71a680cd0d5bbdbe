//! Kills of `perennial migrate` at any instant, again and again until it has finished: every kill leaves what some number of
//! whole migrations leave, and in the end everything of the first release is there, is served and goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;

use crate::checker;
use crate::dice::Dice;
use crate::postgres::PostgresServer;
use crate::process::Process;
use crate::release::{Client, RELEASES, unpack};
use crate::run::listening;
use crate::storage::{Look, Storage};
use crate::tables::{self, Tables};

/// Of a hundred kills of servers, so many of migrations on each database.
const PERCENT: u64 = 25;

/// The database of the first release, on each kind of store.
const RELEASE: &str = RELEASES[0];

/// The migrations of a kind of store.
async fn known(store: &str) -> Migrator {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    Migrator::new(root.join(store)).await.expect("readable")
}

/// What is known of the way from a release to this build.
struct Way {
    /// What stands in a database after so many migrations, the release's first.
    stages: Vec<Tables>,
    /// How long a process takes for all of it.
    takes: Duration,
    dice: Dice,
    /// Kills that left so many migrations.
    left: BTreeMap<usize, u64>,
}

impl Way {
    /// Goes the way undisturbed: on one database migration by migration, on another with the command.
    async fn undisturbed(step: &Storage, whole: &Storage, dice: Dice) -> Self {
        let mut stages = Vec::new();
        for number in 1..=known("sqlite").await.iter().count() {
            apply(step, number).await;
            stages.push(Tables::read(&mut step.look().await.expect("it answers")).await.expect("readable"));
        }
        let start = Instant::now();
        let migrated = whole.command(&["migrate"]).output().expect("it runs");
        let takes = start.elapsed();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let way = Self { stages, takes, dice, left: BTreeMap::new() };
        assert_eq!(way.stage(whole).await, way.stages.len());
        way
    }

    /// Migrates a database of the release, killed until it is done.
    async fn kill(&mut self, storage: &Storage) {
        loop {
            let mut command = storage.command(&["migrate"]);
            let mut process = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("it starts");
            let longest = u64::try_from(self.takes.as_micros()).expect("a short time") * 11 / 10;
            tokio::time::sleep(Duration::from_micros(self.dice.below(longest))).await;
            if let Some(status) = process.try_wait().expect("its state") {
                assert!(status.success(), "it ended by itself: {status}");
                break;
            }
            process.kill().expect("killed");
            process.wait().expect("gone");
            *self.left.entry(self.stage(storage).await).or_default() += 1;
        }
        assert_eq!(self.stage(storage).await, self.stages.len(), "it said that it was done");
    }

    /// How many migrations a database has; it must be what these leave, to the last row.
    async fn stage(&self, storage: &Storage) -> usize {
        let mut look = storage.look_left().await.expect("it can be opened");
        let tables = Tables::read(&mut look).await.expect("it can be read");
        look.close().await;
        let stage = tables.applied.len();
        let whole = self.stages.get(stage.wrapping_sub(1)).expect("as many as this build has");
        assert!(tables == *whole, "{stage} migrations, and not what they leave:\n{tables:#?}\nbut:\n{whole:#?}");
        stage
    }

    fn kills(&self) -> u64 {
        self.left.values().sum()
    }
}

/// Applies the first migrations of a store by hand.
async fn apply(storage: &Storage, number: usize) {
    let mut look = storage.look().await.expect("it answers");
    let first = |all: Migrator| Migrator::with_migrations(all.iter().take(number).cloned().collect());
    match &mut look {
        Look::Sqlite(connection) => {
            sqlx::query("PRAGMA query_only = OFF").execute(&mut *connection).await.expect("done");
            first(known("sqlite").await).run(connection).await
        }
        Look::Postgres(connection) => first(known("postgres").await).run(connection).await,
    }
    .expect("applied");
    look.close().await;
}

/// A server on the migrated database has everything of the release, and goes on; nothing in it is unsound.
async fn serves(storage: &Storage, log: &Path) {
    let (process, told) = Process::spawn(storage, log);
    let server = listening(told).await.expect("the server listens");
    Client::of(server.url()).has_everything_of(RELEASE).await;
    assert_eq!(process.terminate(), Some(0));
    checker::verified(storage).expect("sound");
    checker::log(log, &["ERROR", "panicked"]).expect("nothing went wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_at_any_instant_is_whole_or_not_there_and_loses_nothing() {
    let _turn = crate::ONE_AT_A_TIME.lock().await;
    let (kills, seed) = crate::kills(PERCENT);
    println!("PERENNIAL_CRASH_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let fresh = |name: &str| {
        let storage = Storage::sqlite(&folder.path().join(name));
        std::fs::create_dir_all(&storage.data).expect("a folder");
        unpack(RELEASE, &storage.data);
        storage
    };
    let mut way = Way::undisturbed(&fresh("step"), &fresh("whole"), Dice::new(seed)).await;
    let mut last = fresh("first");
    way.kill(&last).await;
    while way.kills() < kills {
        last = fresh(&way.kills().to_string());
        way.kill(&last).await;
    }
    serves(&last, &folder.path().join("log")).await;
    println!("kills that left so many migrations: {:?}", way.left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_on_postgres_that_is_killed_at_any_instant_is_whole_or_not_there_and_loses_nothing() {
    let _turn = crate::ONE_AT_A_TIME.lock().await;
    let Some(server) = PostgresServer::start().map(Arc::new) else { return };
    let (kills, seed) = crate::kills(PERCENT);
    println!("PERENNIAL_CRASH_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    // What the first release would have left on Postgres: its tables, and its rows.
    let old = Storage::postgres(folder.path(), &server, "template0");
    apply(&old, 1).await;
    let packed = Storage::sqlite(folder.path());
    std::fs::create_dir_all(&packed.data).expect("a folder");
    unpack(RELEASE, &packed.data);
    let (mut from, mut to) = (packed.look().await.expect("there"), old.look().await.expect("there"));
    tables::copy(&mut from, &mut to).await.expect("copied");
    from.close().await;
    to.close().await;
    let fresh = || Storage::postgres(folder.path(), &server, old.name());
    let mut way = Way::undisturbed(&fresh(), &fresh(), Dice::new(seed)).await;
    let mut last = fresh();
    way.kill(&last).await;
    while way.kills() < kills {
        last = fresh();
        way.kill(&last).await;
    }
    serves(&last, &folder.path().join("log")).await;
    println!("kills that left so many migrations: {:?}", way.left);
}
