//! Loading a trainer from its checkpoint, and telling without loading whether there is anything to do.
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
use super::learner::LearnerRecord;
use super::memory;
use super::progress::Progress;
use super::rows::Rows;
use super::status::{TrainerStatus, TrainingState};
use super::store::Fence;
use super::trainer::{KEEP_NONE, Trainer};
use crate::compute::optimizer::OptimizerState;
use crate::growth::State;
use crate::network::weights;
use crate::registry::BlobDigest;
use crate::stream::{LearnerId, Seq};

/// The kinds of inputs, as the journal's queries take them.
const INPUT_KINDS: [&str; 4] = ["round", "pass", "order", "settings"];
/// Journal records and labels read at a time.
const PAGE: usize = 1_000;
const LABELS: u64 = 100_000;

/// A learner's checkpoint as it is shown before its trainer is loaded.
pub(super) struct Dormant {
    pub status: TrainerStatus,
    /// Whether a trainer would find something to do.
    pub awake: Awake,
}

/// Whether there is something to do for a trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awake {
    Yes,
    No,
}

/// What a learner's checkpoint says, without its weights.
pub(super) async fn dormant(environment: &Environment, record: &LearnerRecord) -> Result<Dormant, TrainingError> {
    let store = &environment.store;
    let checkpoint = store.checkpoint(record.id).await?.ok_or_else(|| missing("checkpoint"))?;
    let progress = read_progress(&checkpoint)?;
    let inputs = store.journal(record.id, checkpoint.position, &INPUT_KINDS, 1).await?;
    let head = store.head(record.id).await?;
    let quiet = head == checkpoint.trained_seq
        && inputs.is_empty()
        && record.revision == progress.revision
        && progress.wanted.is_none()
        && !progress.gate.learned
        && progress.passes.next(progress.examples, head, progress.training.max_passes).is_none()
        && store.next_ticket(record.id).await?.is_none();
    let (state, awake) = if quiet { (TrainingState::Idle, Awake::No) } else { (TrainingState::Training, Awake::Yes) };
    let status = TrainerStatus {
        state,
        trained_seq: checkpoint.trained_seq,
        steps: progress.steps,
        metrics: progress.metrics(),
        memory: memory::of_step(&checkpoint.model.network, &progress.training),
        network: Arc::new(checkpoint.model.network),
    };
    Ok(Dormant { status, awake })
}

impl Trainer {
    /// Takes the lease and loads a learner's trainer.
    pub fn load(environment: &Arc<Environment>, learner: LearnerId) -> Result<Self, TrainingError> {
        let store = &environment.store;
        let fence = environment
            .wait(store.acquire_lease(learner, &environment.owner, environment.lease()))?
            .ok_or(TrainingError::Leased)?;
        Self::from_checkpoint(environment, learner, fence)
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
        let document = record.document;
        let holdout = Holdout::new(&document.name, progress.training.holdout_share);
        let trainer = Self {
            learner,
            name: document.name,
            task: document.task,
            fence,
            model: checkpoint.model,
            learned: Learned::Tensors(state),
            history: read_history(environment, learner, holdout, checkpoint.trained_seq)?,
            progress,
            position: checkpoint.position,
            trained_seq: checkpoint.trained_seq,
            last_version: checkpoint.last_version,
            accepted: checkpoint.accepted,
            accepted_version: None,
            rows: Rows::new(learner, environment.config.cache_bytes),
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

fn missing(what: &str) -> TrainingError {
    TrainingError::Damaged(format!("its {what} is missing"))
}

fn read_progress(checkpoint: &Checkpoint) -> Result<Progress, TrainingError> {
    Progress::deserialize(&checkpoint.progress)
        .map_err(|error| TrainingError::Damaged(format!("the checkpoint's progress: {error}")))
}

fn read_history(
    environment: &Environment,
    learner: LearnerId,
    holdout: Holdout,
    until: Seq,
) -> Result<History, TrainingError> {
    let mut history = History::new(holdout);
    while history.head() < until {
        let part = Seq(until.0.min(history.head().0 + LABELS));
        let labels = environment.wait(environment.store.labels(learner, history.head(), part))?;
        if labels.is_empty() {
            return Err(TrainingError::Damaged(format!("the stream ends before {until}")));
        }
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
