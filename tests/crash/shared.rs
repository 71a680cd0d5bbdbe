//! What is known for certain from all lives: the clients write it, the checker holds the server against it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::drafts::Drafts;
use crate::learners::{STREAMS, Subject};
use crate::ledger::Ledger;

/// What is known from all lives.
pub struct Shared {
    ledgers: BTreeMap<Subject, Mutex<Ledger>>,
    drafts: Mutex<Drafts>,
    facts: Mutex<Facts>,
    /// Requests for examples, for corrections and for settings that were sent in this life.
    pub posts: AtomicU64,
    pub corrections: AtomicU64,
    pub changes: AtomicU64,
    stop: AtomicBool,
}

/// Where the server's database is in this life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Database {
    /// Where it has been all the time.
    #[default]
    There,
    /// It was killed.
    Away,
    /// It was killed in this life and answers again.
    Back,
}

/// What is known beside the streams.
#[derive(Default)]
pub struct Facts {
    /// What was found wrong.
    pub faults: Vec<String>,
    /// The newest version that answered a prediction as `live`.
    pub served: BTreeMap<Subject, u64>,
    /// What a version answered for one row.
    pub answers: BTreeMap<(Subject, u64), Value>,
    /// Growth orders that were accepted.
    pub orders: Vec<String>,
    /// Learning rates that were sent, and whether the change was acknowledged.
    pub rates: BTreeMap<Subject, Vec<(f64, bool)>>,
    /// Whether the doomed learner is there, if that is known.
    pub doomed: Option<bool>,
    pub deletions: u64,
    pub predictions: u64,
    /// Where the database is, and how many requests for each subject's examples were acknowledged that were sent after it
    /// came back.
    pub database: Database,
    pub taken_again: BTreeMap<Subject, u64>,
    /// Requests that were refused because the database was away.
    pub refused: u64,
}

impl Shared {
    /// Nothing is known; the doomed learner is not there.
    pub fn new() -> Self {
        let ledger = |subject| (subject, Mutex::new(Ledger::new(subject)));
        Self {
            ledgers: STREAMS.into_iter().map(ledger).collect(),
            drafts: Mutex::new(Drafts::new()),
            facts: Mutex::new(Facts { doomed: Some(false), ..Facts::default() }),
            posts: AtomicU64::new(0),
            corrections: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// The ledger of a stream that is never corrected.
    pub fn ledger(&self, subject: Subject) -> MutexGuard<'_, Ledger> {
        self.ledgers[&subject].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger of the one that is.
    pub fn drafts(&self) -> MutexGuard<'_, Drafts> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins.
    pub fn begin(&self) {
        self.stop.store(false, Ordering::Relaxed);
        for counter in [&self.posts, &self.corrections, &self.changes] {
            counter.store(0, Ordering::Relaxed);
        }
        self.facts().database = Database::There;
    }

    /// It ends: clients that do not notice by themselves stop.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it has not ended.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Something is wrong.
    pub fn fault(&self, fault: String) {
        self.facts().faults.push(fault);
    }

    /// The database's server is about to be killed.
    pub fn database_goes(&self) {
        self.facts().database = Database::Away;
    }

    /// It answers again.
    pub fn database_is_back(&self) {
        let mut facts = self.facts();
        facts.database = Database::Back;
        facts.taken_again.clear();
    }

    /// Whether this answer says no more than that the database was away in this life. Nothing is known then of what the
    /// request did: its commit may have been cut.
    pub fn is_excused(&self, status: u16) -> bool {
        let mut facts = self.facts();
        let excused = status == 503 && facts.database != Database::There;
        facts.refused += u64::from(excused);
        excused
    }
}
