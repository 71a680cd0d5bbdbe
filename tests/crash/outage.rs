//! The death of the database's server in the midst of a life: predictions go on without it, and clients lose nothing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::learners::SUBJECTS;
use crate::postgres::PostgresServer;
use crate::process::{PATIENCE, Process};
use crate::shared::{Facts, Shared};

/// Predictions that are answered while the database is away.
const PREDICTIONS: u64 = 5;

/// How it goes.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// The database is killed so long after the `posts`th request for examples.
    posts: u64,
    after: Duration,
    /// It stays away so long, once predictions have been answered without it.
    away: Duration,
    /// Who is killed first.
    first: First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// The database, and it comes back to the same server.
    Database,
    /// The server too, before the database is back.
    Both,
}

impl Outage {
    /// The next one.
    pub fn draw(dice: &mut Dice) -> Self {
        let first = if dice.percent(25) { First::Both } else { First::Database };
        let mut within = |millis: u64| Duration::from_micros(dice.below(1_000 * millis));
        let (after, away) = (within(120), within(1_500));
        Self { posts: 1 + dice.below(30), after, away, first }
    }

    /// Kills the database and starts it again; whether the server lives on.
    pub async fn happen(
        self,
        shared: &Shared,
        database: &PostgresServer,
        process: &mut Process,
    ) -> Result<bool, String> {
        // Clients come when the checker has looked, which needs the database.
        until(|| shared.posts.load(Ordering::Relaxed) >= self.posts, "no examples were posted").await?;
        tokio::time::sleep(self.after).await;
        shared.database_goes();
        tokio::task::block_in_place(|| database.kill());
        let before = shared.facts().predictions;
        let enough = || shared.facts().predictions >= before + PREDICTIONS;
        until(enough, "no predictions are answered without the database").await?;
        tokio::time::sleep(self.away).await;
        if let Some(status) = process.ended() {
            return Err(format!("the server ended with its database: {status}"));
        }
        if self.first == First::Both {
            process.kill();
            shared.end();
        }
        tokio::task::block_in_place(|| database.restart());
        if self.first == First::Both {
            return Ok(false);
        }
        shared.database_is_back();
        let taken = |facts: &Facts| SUBJECTS.iter().all(|subject| facts.taken_again.contains_key(subject));
        until(|| taken(&shared.facts()), "examples are not taken again once the database is back").await?;
        Ok(true)
    }
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool, or_else: &str) -> Result<(), String> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return Err(or_else.into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
