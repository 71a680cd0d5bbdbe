//! Loading a trainer from its checkpoint.
//!
//! What a checkpoint does not hold is rebuilt: the history from the stream's labels, the inputs after the checkpoint from
//! the journal. Called by the supervisor at a learner's turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::assembly::Assembly;
use super::checkpoint::Checkpoint;
use super::environment::Environment;
use super::error::TrainingError;
use super::history::{History, Holdout};
use super::inputs::Attention;
use super::journal::JournalRecord;
use super::learned::Learned;
use super::progress::Progress;
use super::rows::Rows;
use super::store::Fence;
use super::trainer::{KEEP_NONE, Trainer};
use crate::compute::optimizer::OptimizerState;
use crate::growth::State;
use crate::network::weights;
use crate::registry::BlobDigest;
use crate::stream::{LearnerId, Seq};

/// The kinds of inputs, as the journal's queries take them.
pub(super) const INPUT_KINDS: [&str; 5] = ["round", "pass", "order", "settings", "corrections"];
/// Journal records read at a time.
const PAGE: usize = 1_000;

impl Trainer {
    /// Loads a learner's trainer under a lease.
    pub fn load(environment: &Arc<Environment>, fence: Fence) -> Result<Self, TrainingError> {
        Self::from_checkpoint(environment, fence.learner, fence)
    }

    /// Goes back to the checkpoint under the same lease; the inputs since then are done again, and the one at `position` of
    /// the journal keeps a copy of the state that it begins with. A failure leaves the trainer to be dropped.
    pub fn load_again(&mut self, position: u64) -> Result<(), TrainingError> {
        let environment = self.environment.clone();
        tracing::info!(learner = %self.name, position, "the state before this input is needed: it is computed again");
        // What is held goes first, so that there are never two states in memory.
        self.learned = Learned::default();
        self.accepted_version = None;
        self.rows.clear();
        let (commits, stride) = (self.commits, self.stride);
        *self = Self::from_checkpoint(&environment, self.learner, self.fence)?;
        (self.commits, self.stride, self.keep_from) = (commits, stride, position);
        self.look_around()
    }

    fn from_checkpoint(
        environment: &Arc<Environment>,
        learner: LearnerId,
        fence: Fence,
    ) -> Result<Self, TrainingError> {
        let store = &environment.store;
        let record = environment.wait(store.learner_by_id(learner))?.ok_or(TrainingError::Gone)?;
        let checkpoint = environment.wait(store.checkpoint(learner))?.ok_or_else(|| missing("checkpoint"))?;
        let progress = read_progress(&checkpoint)?;
        let network = &checkpoint.model.network;
        let weights_file = blob(environment, checkpoint.weights)?;
        let optimizer_file = blob(environment, checkpoint.optimizer)?;
        let device = &environment.device;
        let state = environment.compute(|| {
            let parameters = weights::from_bytes(&weights_file, network, device)?;
            let optimizer = OptimizerState::from_bytes(&optimizer_file, device)?;
            Ok::<_, TrainingError>(State { parameters, optimizer })
        })?;
        let mut rows = Rows::open(environment, &record, checkpoint.trained_seq)?;
        let document = record.document;
        let holdout = Holdout::new(&document.name, progress.training.holdout_share);
        let trainer = Self {
            learner,
            name: document.name,
            task: document.task,
            fence,
            model: checkpoint.model,
            learned: Learned::Tensors(state),
            history: read_history(&mut rows, holdout, checkpoint.trained_seq)?,
            progress,
            position: checkpoint.position,
            trained_seq: checkpoint.trained_seq,
            last_version: checkpoint.last_version,
            accepted: checkpoint.accepted,
            accepted_version: None,
            rows,
            assembly: Assembly::default(),
            results: Vec::new(),
            replay: read_inputs(environment, learner, checkpoint.position)?,
            attention: Attention::default(),
            work: None,
            keep_from: KEEP_NONE,
            pass_order: None,
            committed: (Instant::now(), Duration::ZERO),
            changed: false,
            commits: 0,
            tail: None,
            stride: 1,
            environment: environment.clone(),
        };
        tracing::debug!(learner = %trainer.name, seq = trainer.trained_seq.0, replay = trainer.replay.len(), "trainer loaded");
        Ok(trainer)
    }
}

/// A blob that a row names: it must be there.
pub(super) fn blob(environment: &Environment, digest: BlobDigest) -> Result<Vec<u8>, TrainingError> {
    environment.wait(environment.store.get_blob(digest))?.ok_or_else(|| missing("blob"))
}

pub(super) fn missing(what: &str) -> TrainingError {
    TrainingError::Damaged(format!("its {what} is missing"))
}

pub(super) fn read_progress(checkpoint: &Checkpoint) -> Result<Progress, TrainingError> {
    Progress::deserialize(&checkpoint.progress)
        .map_err(|error| TrainingError::Damaged(format!("the checkpoint's progress: {error}")))
}

fn read_history(rows: &mut Rows, holdout: Holdout, until: Seq) -> Result<History, TrainingError> {
    let mut history = History::new(holdout);
    while history.head() < until {
        let labels = rows.labels(history.head(), until)?;
        history.append(labels.iter().map(|(seq, label)| (*seq, label.as_ref())));
    }
    Ok(history)
}

fn read_inputs(
    environment: &Environment,
    learner: LearnerId,
    mut after: u64,
) -> Result<VecDeque<JournalRecord>, TrainingError> {
    let mut inputs = VecDeque::new();
    loop {
        let page = environment.wait(environment.store.journal(learner, after, &INPUT_KINDS, PAGE))?;
        let Some(last) = page.last() else { return Ok(inputs) };
        after = last.position;
        inputs.extend(page);
    }
}
