//! The rows that a trainer holds in memory, so that replay seldom asks the store.
//!
//! Bounded by bytes: the rows that came in first leave first. What is answered never depends on what is held. Used by one
//! trainer, on its thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::environment::Environment;
use super::error::TrainingError;
use crate::stream::{Label, LearnerId, Pixels, Row, Seq, StoredExample, Value};

/// What a held row costs besides its values.
const ROW_OVERHEAD: usize = 160;

/// Rows of one learner.
pub(super) struct RowCache {
    learner: LearnerId,
    budget: usize,
    used: usize,
    rows: BTreeMap<Seq, Arc<StoredExample>>,
    order: VecDeque<Seq>,
}

impl RowCache {
    /// An empty cache of at most `budget` bytes.
    pub fn new(learner: LearnerId, budget: usize) -> Self {
        Self { learner, budget, used: 0, rows: BTreeMap::new(), order: VecDeque::new() }
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
            self.hold(row);
        }
        Ok(found)
    }

    /// These rows, in the order asked for; a place may stand there more than once, and every place must exist.
    pub fn fetch(&mut self, environment: &Environment, seqs: &[Seq]) -> Result<Vec<Arc<StoredExample>>, TrainingError> {
        let mut missing: Vec<Seq> = seqs.iter().copied().filter(|seq| !self.rows.contains_key(seq)).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut fetched = BTreeMap::new();
        for part in missing.chunks(500) {
            for row in environment.wait(environment.store.fetch(self.learner, part))? {
                fetched.insert(row.seq, Arc::new(row));
            }
        }
        let found = seqs
            .iter()
            .map(|seq| {
                let row = self.rows.get(seq).or_else(|| fetched.get(seq));
                row.cloned().ok_or_else(|| TrainingError::Damaged(format!("the stream has no example {seq}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for row in fetched.values() {
            self.hold(row);
        }
        Ok(found)
    }

    /// Forgets everything held.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.order.clear();
        self.used = 0;
    }

    fn hold(&mut self, row: &Arc<StoredExample>) {
        if self.rows.insert(row.seq, row.clone()).is_some() {
            return;
        }
        self.order.push_back(row.seq);
        self.used += bytes(row);
        while self.used > self.budget {
            let Some(gone) = self.order.pop_front().and_then(|oldest| self.rows.remove(&oldest)) else { break };
            self.used -= bytes(&gone);
        }
    }
}

fn bytes(example: &StoredExample) -> usize {
    let label = match &example.label {
        Label::Class(class) => class.len(),
        Label::Number(_) => 0,
    };
    ROW_OVERHEAD + label + example.id.as_ref().map_or(0, String::len) + row_bytes(&example.row)
}

fn row_bytes(row: &Row) -> usize {
    let value = |value: &Value| match value {
        Value::Missing | Value::Number(_) => 0,
        Value::Category(text) => text.len(),
        Value::Vector(numbers) => 4 * numbers.len(),
        Value::Image(Pixels::Bytes(pixels)) => pixels.len(),
        Value::Image(Pixels::Floats(pixels)) => 4 * pixels.len(),
    };
    row.iter().map(|each| size_of::<Value>() + value(each)).sum()
}
