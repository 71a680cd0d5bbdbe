//! What is recorded of a life: its learner, its checkpoint, and its journal as it was when that was committed.

use super::LifeError;
use crate::registry::VersionId;
use crate::stream::{LearnerName, Seq};
use crate::training::store::Store;
use crate::training::{Checkpoint, JournalEvent, JournalRecord, LearnerRecord};

/// Journal records read at a time.
const PAGE: usize = 500;

/// Looks at a learner that is being trained, until its checkpoint and journal belong together.
const LOOKS: usize = 50;

/// A life as it is recorded.
pub(super) struct Recorded {
    pub learner: LearnerRecord,
    pub checkpoint: Checkpoint,
    /// What `live` names.
    pub live: VersionId,
    pub journal: Vec<JournalRecord>,
}

impl Recorded {
    /// Reads a learner's record. Its checkpoint is the same before and after the journal was read, so that nothing was
    /// committed between the two.
    pub async fn read(source: &dyn Store, name: &LearnerName) -> Result<Self, LifeError> {
        let learner = source.learner(name).await?.ok_or(LifeError::UnknownLearner)?;
        let missing = |what: &str| LifeError::Incomplete(format!("its {what} is missing"));
        let mut journal: Vec<JournalRecord> = Vec::new();
        let mut before = source.checkpoint(learner.id).await?.ok_or_else(|| missing("checkpoint"))?;
        for _ in 0..LOOKS {
            loop {
                let after = journal.last().map_or(0, |record| record.position);
                let page = source.journal(learner.id, after, &[], PAGE).await?;
                if page.is_empty() {
                    break;
                }
                journal.extend(page);
            }
            let live = source.alias(learner.id, "live").await?.ok_or_else(|| missing("live version"))?;
            let checkpoint = source.checkpoint(learner.id).await?.ok_or(LifeError::UnknownLearner)?;
            if checkpoint == before {
                return Self { learner, checkpoint, live, journal }.whole();
            }
            before = checkpoint;
        }
        Err(LifeError::Busy)
    }

    /// Every position of the journal must be there.
    fn whole(self) -> Result<Self, LifeError> {
        let dense = self.journal.iter().zip(1..).all(|(record, position)| record.position == position);
        if dense { Ok(self) } else { Err(LifeError::Incomplete("positions of its journal are missing".into())) }
    }

    /// The inputs that are in the checkpoint's state, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &JournalRecord> {
        self.all_inputs().filter(|record| record.position <= self.checkpoint.position)
    }

    /// The input after them, if there is one.
    pub fn next_input(&self) -> Option<&JournalRecord> {
        self.all_inputs().find(|record| record.position > self.checkpoint.position)
    }

    fn all_inputs(&self) -> impl Iterator<Item = &JournalRecord> {
        self.journal.iter().filter(|record| record.event.is_input())
    }

    /// The results, in order.
    pub fn results(&self) -> impl Iterator<Item = &JournalRecord> {
        self.journal.iter().filter(|record| !record.event.is_input())
    }

    /// The newest example that the inputs name, that after the checkpoint included.
    pub fn last_seq(&self) -> Seq {
        let last = |record: &JournalRecord| match record.event {
            JournalEvent::Round { last, .. } => last,
            _ => Seq(0),
        };
        self.inputs().chain(self.next_input()).map(last).max().unwrap_or_default()
    }
}
