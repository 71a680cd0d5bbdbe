//! One learner's trainer: everything that it holds in memory, and its turns.
//!
//! Invariant: between inputs the state is a function of the stream and of the journal's inputs up to `position`; an input is
//! in the journal, durably, before the trainer acts on it. Whatever fails leaves the trainer to be dropped and loaded again
//! from its checkpoint. Run by one supervisor thread at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::assembly::Assembly;
use super::environment::Environment;
use super::error::TrainingError;
use super::history::History;
use super::inputs::{Attention, Next};
use super::journal::{JournalEvent, JournalRecord};
use super::learned::Learned;
use super::passes::NextPass;
use super::progress::Progress;
use super::publish::AcceptedVersion;
use super::rows::Rows;
use super::status::{TrainerStatus, TrainingState};
use super::steps::{Advance, Work};
use super::store::Fence;
use crate::registry::{Model, VersionId};
use crate::stream::{LearnerId, LearnerName, Seq, Task};

/// No input keeps a copy of the state.
pub(super) const KEEP_NONE: u64 = u64::MAX;

/// A learner's training state.
pub(super) struct Trainer {
    pub environment: Arc<Environment>,
    pub learner: LearnerId,
    pub name: LearnerName,
    pub task: Task,
    pub fence: Fence,
    pub model: Model,
    pub learned: Learned,
    pub history: History,
    pub progress: Progress,
    /// Journal inputs up to here are in the state.
    pub position: u64,
    pub trained_seq: Seq,
    pub last_version: VersionId,
    /// The version that was accepted last: what `live` names unless an operator says otherwise.
    pub accepted: VersionId,
    /// Its model and weights, while the gate needs them.
    pub accepted_version: Option<AcceptedVersion>,
    pub rows: Rows,
    /// The memory of batches.
    pub assembly: Assembly,
    /// Results that the next commit takes along.
    pub results: Vec<JournalEvent>,
    /// Inputs of the journal that are not in the state yet: what a restart replays.
    pub replay: VecDeque<JournalRecord>,
    /// What the store held at the newest look.
    pub attention: Attention,
    /// The input under way.
    pub work: Option<Work>,
    /// From this place of the journal on a copy of the state is kept where an input begins ([`super::steps`]).
    pub keep_from: u64,
    /// The order of the pass under way, which takes many inputs.
    pub pass_order: Option<(NextPass, Vec<Seq>)>,
    /// When the newest commit ended, and how long it took.
    pub committed: (Instant, Duration),
    /// Whether the state has moved since the newest commit.
    pub changed: bool,
    pub commits: u64,
    /// Since when a tail shorter than a round waits, by its first place.
    pub tail: Option<(Seq, Instant)>,
    /// Steps between two looks at the clock: fewer of large networks. Changes no result.
    pub stride: usize,
}

/// How far a turn may go.
pub(super) struct TurnLimits<'a> {
    pub until: Instant,
    /// Set when the process stops or the learner is deleted.
    pub stop: [&'a AtomicBool; 2],
    /// Set when the turn is to end at a boundary between inputs, so that another process can go on.
    pub wanted_back: &'a AtomicBool,
}

impl TurnLimits<'_> {
    fn stopped(&self) -> bool {
        self.stop.iter().any(|stop| stop.load(Ordering::Relaxed))
    }

    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn wanted_back(&self) -> bool {
        self.wanted_back.load(Ordering::Relaxed)
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// There is more to do.
    More,
    /// A short tail waits this long for more rows.
    Wait(Duration),
    /// Everything is learned.
    Idle,
}

impl Trainer {
    /// Moves the learner forward until a limit is reached or nothing is left to do; `show` gets a snapshot whenever there
    /// is something new to show.
    pub fn turn(&mut self, limits: &TurnLimits<'_>, show: &dyn Fn(TrainerStatus)) -> Result<TurnEnd, TrainingError> {
        self.look_around()?;
        // Every turn does something, however short it is, so that a learner comes to its end also among many.
        let mut acted = false;
        loop {
            let is_wanted_back = limits.wanted_back() && self.work.is_none();
            if limits.stopped() || (acted && (limits.over() || is_wanted_back)) {
                return Ok(TurnEnd::More);
            }
            acted = true;
            if let Some(mut work) = self.work.take() {
                match self.advance(&mut work)? {
                    Advance::More => self.work = Some(work),
                    Advance::Complete => {
                        self.complete(work)?;
                        show(self.status(TrainingState::Training));
                    }
                    Advance::StartNeeded => self.load_again(work.position)?,
                }
                continue;
            }
            self.checkpoint_if_due()?;
            match self.next_input()? {
                Next::Input { position, event } => {
                    self.begin(position, event)?;
                    show(self.status(TrainingState::Training));
                }
                Next::Wait(wait) => return Ok(TurnEnd::Wait(wait)),
                Next::Nothing => {
                    self.settle()?;
                    show(self.status(TrainingState::Idle));
                    return Ok(TurnEnd::Idle);
                }
            }
        }
    }

    /// Acts on an input that stands in the journal at `position`.
    pub fn begin(&mut self, position: u64, event: JournalEvent) -> Result<(), TrainingError> {
        match event {
            JournalEvent::Round { first, last } => self.begin_round(position, first, last),
            JournalEvent::Pass { number, until } => self.begin_pass(position, number, until),
            JournalEvent::Order { order, trigger, ticket } => self.execute_order(position, &order, trigger, ticket),
            JournalEvent::Settings { revision, document, .. } => self.apply_settings(position, revision, document),
            JournalEvent::Corrections { through } => self.follow_corrections(position, through),
            other => Err(TrainingError::Damaged(format!("the journal's event {} is no input", other.kind()))),
        }
    }

    /// The work's steps are done. Where training was set back a checkpoint follows, so that a set-back in the next input
    /// finds nothing to do again but that input.
    pub fn complete(&mut self, work: Work) -> Result<(), TrainingError> {
        let met_set_back = work.met_set_back();
        self.finish(work)?;
        if met_set_back {
            self.keep_from = KEEP_NONE;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Ends the trainer at a boundary between inputs, so that a restart has nothing to do again; within an input nothing is
    /// written, the restart does that input again.
    pub fn wind_up(&mut self) -> Result<(), TrainingError> {
        if self.work.is_none() && self.changed {
            self.checkpoint()?;
        }
        self.environment.wait(self.environment.store.release_lease(self.fence))
    }

    /// A snapshot for readers.
    pub fn status(&self, state: TrainingState) -> TrainerStatus {
        TrainerStatus {
            state,
            trained_seq: self.trained_seq,
            steps: self.learned.steps(),
            network: Arc::new(self.model.network.clone()),
            memory: self.learned.memory(&self.model.network, &self.progress.training),
            metrics: self.progress.metrics(),
        }
    }
}
