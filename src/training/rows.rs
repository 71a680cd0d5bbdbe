//! The rows that a trainer works on: from memory where they are held, from the store where not.
//!
//! Memory is bounded by bytes; what is answered never depends on what is held. Used by one trainer, on its thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::environment::Environment;
use super::error::TrainingError;
use crate::stream::{Entry, LearnerId, RowCache, Seq, StoredExample};

/// Places asked of the store at once.
const FETCH: usize = 500;

/// A place with its row; `None`: a tombstone.
pub(super) type Place = (Seq, Option<Arc<StoredExample>>);

/// Rows of one learner.
pub(super) struct Rows {
    learner: LearnerId,
    cache: RowCache,
    budget: usize,
}

impl Rows {
    /// Nothing held yet, at most `budget` bytes later.
    pub fn new(learner: LearnerId, budget: usize) -> Self {
        Self { learner, cache: RowCache::new(budget), budget }
    }

    /// What stands at the places `first..=last`, in order; every place must exist.
    pub fn range(&mut self, environment: &Environment, first: Seq, last: Seq) -> Result<Vec<Place>, TrainingError> {
        let mut found = Vec::new();
        let mut after = Seq(first.0.saturating_sub(1));
        while after < last {
            let limit = usize::try_from((last.0 - after.0).min(4_096)).unwrap_or(4_096);
            let entries = environment.wait(environment.store.read(self.learner, after, limit))?;
            let Some(newest) = entries.last().map(Entry::seq) else {
                return Err(TrainingError::Damaged(format!("the stream ends before {last}")));
            };
            after = newest;
            found.extend(entries.into_iter().map(|entry| (entry.seq(), entry.into_example().map(Arc::new))));
        }
        for (seq, row) in &found {
            if let Some(row) = row {
                self.cache.insert(*seq, row.clone());
            }
        }
        Ok(found)
    }

    /// The rows at these places, in the order asked for; a place may stand there more than once, and every place must
    /// exist. One that was deleted meanwhile is left out.
    pub fn fetch(&mut self, environment: &Environment, seqs: &[Seq]) -> Result<Vec<Arc<StoredExample>>, TrainingError> {
        let mut known: BTreeMap<Seq, Option<Arc<StoredExample>>> = BTreeMap::new();
        let mut missing = Vec::new();
        for &seq in seqs {
            match self.cache.get(seq) {
                Some(row) => drop(known.insert(seq, Some(row))),
                None => missing.push(seq),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for part in missing.chunks(FETCH) {
            for entry in environment.wait(environment.store.fetch(self.learner, part))? {
                let seq = entry.seq();
                let row = entry.into_example().map(Arc::new);
                if let Some(row) = &row {
                    self.cache.insert(seq, row.clone());
                }
                known.insert(seq, row);
            }
        }
        let mut found = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let row =
                known.get(seq).ok_or_else(|| TrainingError::Damaged(format!("the stream has no example {seq}")))?;
            found.extend(row.clone());
        }
        Ok(found)
    }

    /// Forgets everything held.
    pub fn clear(&mut self) {
        self.cache = RowCache::new(self.budget);
    }
}
