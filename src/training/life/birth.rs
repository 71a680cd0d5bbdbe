//! The document that a learner was born with, from its document of today and from its record.
//!
//! Name, task and network never change. The schema grows: version 1 has the one of the birth. Settings change by inputs of
//! the journal, the first of which says what held before it.

use super::LifeError;
use super::recorded::Recorded;
use crate::registry::Version;
use crate::training::journal::{HeldSettings, JournalEvent};
use crate::training::learner::LearnerDocument;
use crate::training::load::read_progress;

/// The document of a learner's birth.
pub(super) fn document(recorded: &Recorded, first: &Version) -> Result<LearnerDocument, LifeError> {
    let HeldSettings { training, policy } = settings(recorded)?;
    let today = recorded.learner.document.clone();
    Ok(LearnerDocument { schema: first.model.encoder.schema().clone(), training, policy, ..today })
}

fn settings(recorded: &Recorded) -> Result<HeldSettings, LifeError> {
    let first = recorded.inputs_of_checkpoint().find_map(|record| match &record.event {
        JournalEvent::Settings { before, .. } => Some(before),
        _ => None,
    });
    match first {
        Some(Some(before)) => Ok((**before).clone()),
        Some(None) => Err(LifeError::Incomplete(
            "its settings were changed before journals said what held until then, so those of its birth are not known"
                .into(),
        )),
        // No change of settings has reached the trainer: it still has those of its birth.
        None => {
            let progress = read_progress(&recorded.checkpoint)?;
            Ok(HeldSettings { training: progress.training, policy: progress.policy })
        }
    }
}
