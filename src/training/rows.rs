//! The rows that a trainer works on: from memory where they are held, from the store where not.
//!
//! Memory is bounded by bytes; what is answered never depends on what is held. Used by one trainer, on its thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::environment::Environment;
use super::error::TrainingError;
use crate::stream::{LearnerId, RowCache, Seq, StoredExample};

/// Places asked of the store at once.
const FETCH: usize = 500;

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

    /// The rows `first..=last`, in order; every place must exist.
    pub fn range(
        &mut self,
        environment: &Environment,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<Arc<StoredExample>>, TrainingError> {
        let mut found = Vec::new();
        let mut after = Seq(first.0.saturating_sub(1));
        while after < last {
            let limit = usize::try_from((last.0 - after.0).min(4_096)).unwrap_or(4_096);
            let rows = environment.wait(environment.store.read(self.learner, after, limit))?;
            let Some(newest) = rows.last().map(|row| row.seq) else {
                return Err(TrainingError::Damaged(format!("the stream ends before {last}")));
            };
            after = newest;
            found.extend(rows.into_iter().filter(|row| row.seq <= last).map(Arc::new));
        }
        for row in &found {
            self.cache.insert(row.seq, row.clone());
        }
        Ok(found)
    }

    /// These rows, in the order asked for; a place may stand there more than once, and every place must exist.
    pub fn fetch(&mut self, environment: &Environment, seqs: &[Seq]) -> Result<Vec<Arc<StoredExample>>, TrainingError> {
        let mut known: BTreeMap<Seq, Arc<StoredExample>> = BTreeMap::new();
        let mut missing = Vec::new();
        for &seq in seqs {
            match self.cache.get(seq) {
                Some(row) => drop(known.insert(seq, row)),
                None => missing.push(seq),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for part in missing.chunks(FETCH) {
            for row in environment.wait(environment.store.fetch(self.learner, part))? {
                let row = Arc::new(row);
                self.cache.insert(row.seq, row.clone());
                known.insert(row.seq, row);
            }
        }
        let found = |seq: &Seq| {
            known.get(seq).cloned().ok_or_else(|| TrainingError::Damaged(format!("the stream has no example {seq}")))
        };
        seqs.iter().map(found).collect()
    }

    /// Forgets everything held.
    pub fn clear(&mut self) {
        self.cache = RowCache::new(self.budget);
    }
}
