//! The scratch store of a life lived again: the newborn learner, its rows, and the inputs that it will do.

use std::sync::Arc;

use super::recorded::Recorded;
use super::{LifeError, birth};
use crate::registry::{Version, VersionId};
use crate::stream::{Append, EncodedExample, Entry, Existing, LearnerId, NewExample, Seq, StreamStore};
use crate::training::creation;
use crate::training::environment::Environment;
use crate::training::journal::JournalEvent;
use crate::training::store::{CreateError, Store};

/// Rows copied, and inputs written, in one transaction.
const AT_ONCE: usize = 1_000;

/// The newborn learner on the scratch store.
pub(super) struct Newborn {
    pub learner: LearnerId,
    /// Where its first input stands in the scratch journal; the others follow it.
    pub first_position: u64,
}

/// Creates the learner, copies its rows, and writes its inputs.
pub(super) fn prepare(
    environment: &Arc<Environment>,
    source: &dyn Store,
    recorded: &Recorded,
    first: &Version,
) -> Result<Newborn, LifeError> {
    let document = birth::document(recorded, first)?;
    let scratch = &*environment.store;
    let state = creation::first_state(&document)?;
    let learner = environment.runtime.block_on(async {
        let (version, checkpoint) = creation::put_blobs(scratch, state).await?;
        match scratch.create_learner(&document, version, checkpoint).await {
            Ok(record) => Ok(record.id),
            Err(CreateError::Store(error)) => Err(LifeError::Store(error)),
            Err(CreateError::Duplicate) => Err(LifeError::Broken("the scratch store is not empty".into())),
        }
    })?;
    environment.runtime.block_on(copy_rows(source, recorded.learner.id, scratch, (learner, recorded.last_seq())))?;
    let inputs: Vec<JournalEvent> = recorded.inputs().map(|record| record.event.clone()).collect();
    let first_position = environment.runtime.block_on(write_inputs(environment, learner, inputs))?;
    Ok(Newborn { learner, first_position })
}

/// Version `number` of a recorded learner.
pub(super) async fn version(store: &dyn Store, learner: LearnerId, number: VersionId) -> Result<Version, LifeError> {
    let version = store.version(learner, number).await?;
    version.ok_or_else(|| LifeError::Incomplete(format!("version {number} is missing")))
}

async fn copy_rows(
    source: &dyn Store,
    from: LearnerId,
    scratch: &dyn Store,
    (learner, last): (LearnerId, Seq),
) -> Result<(), LifeError> {
    let mut copied = Seq(0);
    while copied < last {
        let limit = usize::try_from(last.0 - copied.0).unwrap_or(AT_ONCE).min(AT_ONCE);
        let entries = StreamStore::read(source, from, copied, limit).await?;
        let newest = entries.last().map(Entry::seq);
        let rows = entries.into_iter().filter_map(Entry::into_example);
        let examples: Vec<EncodedExample> =
            rows.map(|row| NewExample { id: row.id, row: row.row, label: row.label }.into()).collect();
        // A tombstone among them was put there after the corrections were read.
        let dense = newest == Some(Seq(copied.0 + examples.len() as u64));
        let append = Append { learner, key: None, existing: Existing::Keep, examples, covers: None };
        let answer = scratch.append(vec![append]).await?.pop();
        let kept = answer.and_then(Result::ok).is_some_and(|answer| Some(answer.head_seq) == newest);
        if !dense || !kept {
            return Err(LifeError::Incomplete(format!("the stream is not dense after {copied}")));
        }
        copied = newest.unwrap_or(last);
    }
    Ok(())
}

/// Writes the inputs one behind the other; the position of the first.
async fn write_inputs(
    environment: &Environment,
    learner: LearnerId,
    inputs: Vec<JournalEvent>,
) -> Result<u64, LifeError> {
    let store = &environment.store;
    let fence = store.acquire_lease(learner, &environment.owner, environment.lease()).await?;
    let fence = fence.ok_or_else(|| LifeError::Broken("the scratch store is used by another".into()))?;
    let written = inputs.len() as u64;
    let mut last = 0;
    for part in inputs.chunks(AT_ONCE) {
        last = store.append_journal(fence, part.to_vec()).await?;
    }
    Ok(last + 1 - written)
}
