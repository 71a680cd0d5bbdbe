//! What is recorded of a life: its learner, its checkpoint, and its journal as it was when that was committed.

use super::LifeError;
use crate::stream::{LearnerName, Seq};
use crate::training::store::Store;
use crate::training::{Checkpoint, JournalEvent, JournalRecord, LearnerRecord};

/// The kinds of results that a trainer commits.
const RESULTS: [&str; 7] = ["decided", "grown", "refused", "gate", "published", "non_finite", "set_back"];

/// Journal records read at a time.
const PAGE: usize = 500;

/// Looks at a learner that is being trained, until its checkpoint and journal belong together.
const LOOKS: usize = 50;

/// A life as it is recorded.
pub(super) struct Recorded {
    pub learner: LearnerRecord,
    pub checkpoint: Checkpoint,
    pub journal: Vec<JournalRecord>,
    /// The first example that was corrected after it was stored, if there is one.
    pub corrected: Option<Seq>,
    /// Inputs up to here can be done again: all that are in the checkpoint, or those before a corrected example is seen.
    pub until: u64,
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
            let checkpoint = source.checkpoint(learner.id).await?.ok_or(LifeError::UnknownLearner)?;
            if checkpoint == before {
                let corrected = first_corrected(source, &learner).await?;
                let until = provable(&journal, checkpoint.position, corrected);
                return Self { learner, checkpoint, journal, corrected, until }.dense();
            }
            before = checkpoint;
        }
        Err(LifeError::Busy)
    }

    /// Every position of the journal must be there.
    fn dense(self) -> Result<Self, LifeError> {
        let dense = self.journal.iter().zip(1..).all(|(record, position)| record.position == position);
        if dense { Ok(self) } else { Err(LifeError::Incomplete("positions of its journal are missing".into())) }
    }

    /// The inputs that can be done again, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &JournalRecord> {
        self.inputs_of_checkpoint().filter(|record| record.position <= self.until)
    }

    /// The inputs that are in the checkpoint's state, in order.
    pub fn inputs_of_checkpoint(&self) -> impl Iterator<Item = &JournalRecord> {
        inputs(&self.journal).filter(|record| record.position <= self.checkpoint.position)
    }

    /// The input after those that can be done again, if there is one.
    pub fn next_input(&self) -> Option<&JournalRecord> {
        inputs(&self.journal).find(|record| record.position > self.until)
    }

    /// The results, in order.
    pub fn results(&self) -> impl Iterator<Item = &JournalRecord> {
        self.journal.iter().filter(|record| is_result(&record.event))
    }

    /// The newest example that is needed: of the inputs, and of the round that a growth of the checkpoint may belong to.
    pub fn last_seq(&self) -> Seq {
        let next = self.next_input().filter(|_| self.corrected.is_none());
        self.inputs().chain(next).map(last_seq).max().unwrap_or_default()
    }
}

/// Whether a trainer says this of what it did; operators write into the journal too.
pub(super) fn is_result(event: &JournalEvent) -> bool {
    RESULTS.contains(&event.kind())
}

fn inputs(journal: &[JournalRecord]) -> impl Iterator<Item = &JournalRecord> {
    journal.iter().filter(|record| record.event.is_input())
}

/// The newest example of a round; 0 for other inputs.
fn last_seq(record: &JournalRecord) -> Seq {
    match record.event {
        JournalEvent::Round { last, .. } => last,
        _ => Seq(0),
    }
}

/// The last position before an input sees a corrected example, or follows corrections.
fn provable(journal: &[JournalRecord], checkpoint: u64, corrected: Option<Seq>) -> u64 {
    let Some(corrected) = corrected else { return checkpoint };
    let sees = |record: &&JournalRecord| last_seq(record) >= corrected || record.event.kind() == "corrections";
    inputs(journal).find(sees).map_or(checkpoint, |record| checkpoint.min(record.position - 1))
}

async fn first_corrected(source: &dyn Store, learner: &LearnerRecord) -> Result<Option<Seq>, LifeError> {
    let (mut first, mut after) = (None, 0);
    loop {
        let page = source.corrections(learner.id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(first) };
        after = last.number;
        first = page.iter().map(|correction| correction.seq).chain(first).min();
    }
}
