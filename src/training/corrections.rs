//! Following the stream's corrections: an input of its own, after which nothing of a deleted value is held.
//!
//! Invariant: after the input the history is what a rebuild from the corrected stream gives, and no row in memory or in the
//! stream cache is older than the corrections that the input took along. A checkpoint follows at once, so that no restart
//! needs a value that is gone. What the weights, the statistics and the vocabulary learned from a row stays learned.
//! Part of the trainer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::TrainingError;
use super::publish::CHECKPOINT_SHARE;
use super::trainer::Trainer;
use crate::stream::{Correction, Entry, Label, Seq, StoredExample};

/// The most corrections of one input.
const AT_ONCE: usize = 1_000;
/// Rows read from the store at once.
const FETCH: usize = 500;

impl Trainer {
    /// The newest correction that the next input takes along; 0 if all are followed.
    pub fn newest_correction(&self) -> Result<u64, TrainingError> {
        Ok(self.unfollowed(AT_ONCE)?.last().map_or(0, |correction| correction.number))
    }

    /// How long the corrections that were seen wait until they are followed; `None` if there are none.
    pub fn corrections_wait(&self) -> Option<Duration> {
        let (at, took) = self.committed;
        let is_new = self.attention.corrections > self.progress.corrections;
        is_new.then(|| (took * CHECKPOINT_SHARE).saturating_sub(at.elapsed()))
    }

    /// Follows the corrections up to a number.
    pub fn follow_corrections(&mut self, position: u64, through: u64) -> Result<(), TrainingError> {
        let limit = usize::try_from(through.saturating_sub(self.progress.corrections)).unwrap_or(usize::MAX);
        let corrections = self.unfollowed(limit)?;
        if corrections.last().map_or(self.progress.corrections, |last| last.number) != through {
            return Err(TrainingError::Damaged(format!("the stream has no correction {through}")));
        }
        self.rows.correct(&corrections);
        let places: Vec<Seq> = corrections.iter().map(|correction| correction.seq).collect();
        let (now, examples) = self.standing(places)?;
        self.history.correct(&now);
        // A label or a category may be one that no row had before.
        self.grow_for(&examples)?;
        if !now.is_empty() {
            self.progress.passes.reopen();
            self.pass_order = None;
        }
        self.progress.corrections = through;
        self.position = position;
        self.changed = true;
        tracing::info!(learner = %self.name, corrections = corrections.len(), through, "corrections followed");
        self.checkpoint()?;
        self.look_around()
    }

    fn unfollowed(&self, limit: usize) -> Result<Vec<Correction>, TrainingError> {
        let store = &self.environment.store;
        self.environment.wait(store.corrections(self.learner, self.progress.corrections, limit))
    }

    /// What stands now at those of these places that were trained: the labels, and the rows that are there.
    fn standing(&self, mut places: Vec<Seq>) -> Result<Standing, TrainingError> {
        places.retain(|seq| *seq <= self.trained_seq);
        places.sort_unstable();
        places.dedup();
        let mut now = BTreeMap::new();
        let mut examples = Vec::new();
        for part in places.chunks(FETCH) {
            let entries = self.environment.wait(self.environment.store.fetch(self.learner, part))?;
            now.extend(entries.iter().map(|entry| (entry.seq(), entry.example().map(|row| row.label.clone()))));
            examples.extend(entries.into_iter().filter_map(Entry::into_example).map(Arc::new));
        }
        Ok((now, examples))
    }
}

/// Labels by place, none for tombstones, and the rows that are there.
type Standing = (BTreeMap<Seq, Option<Label>>, Vec<Arc<StoredExample>>);
