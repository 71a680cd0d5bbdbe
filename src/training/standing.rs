//! Where a learner stands by its checkpoint: what is shown of it where no trainer of this process holds it, and whether a
//! trainer would find anything to do.
//!
//! Reads, and changes nothing. Called by the supervisor, and by the edge of servers without trainers.

use std::sync::Arc;

use super::error::TrainingError;
use super::fleet::Overview;
use super::learner::LearnerRecord;
use super::load::{INPUT_KINDS, missing, read_progress};
use super::memory;
use super::status::{TrainerStatus, TrainingState};
use super::store::Store;
use crate::stream::StoreError;

/// A learner's checkpoint as it is shown without its trainer.
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
pub(super) async fn dormant(store: &dyn Store, record: &LearnerRecord) -> Result<Dormant, TrainingError> {
    let checkpoint = store.checkpoint(record.id).await?.ok_or_else(|| missing("checkpoint"))?;
    let progress = read_progress(&checkpoint)?;
    let inputs = store.journal(record.id, checkpoint.position, &INPUT_KINDS, 1).await?;
    let head = store.head(record.id).await?;
    let quiet = head == checkpoint.trained_seq
        && inputs.is_empty()
        && record.revision == progress.revision
        && progress.wanted.is_none()
        && !progress.gate.learned
        && store.corrections(record.id, progress.corrections, 1).await?.is_empty()
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

/// Where a learner stands by what the store has of it; `None` if it was deleted meanwhile. `training` while somebody holds
/// its lease, `failed` while its newest trainer is not replaced.
///
/// # Errors
/// The store failed, or what it has of the learner does not fit together.
pub async fn standing(
    store: &dyn Store,
    record: &LearnerRecord,
    overview: &Overview,
) -> Result<Option<TrainerStatus>, StoreError> {
    let dormant = match dormant(store, record).await {
        Ok(dormant) => dormant,
        Err(TrainingError::Store(error)) => return Err(error),
        Err(_) if store.learner_by_id(record.id).await?.is_none() => return Ok(None),
        Err(error) => return Err(StoreError::Damaged(error.to_string())),
    };
    let held = overview.holder.as_ref().is_some_and(|holder| !holder.expires_in.is_zero());
    let state = match dormant.status.state {
        // A trainer that rests keeps its learner for a while.
        state if held => state,
        _ if overview.failure.is_some() => TrainingState::Failed,
        state => state,
    };
    Ok(Some(TrainerStatus { state, ..dormant.status }))
}
