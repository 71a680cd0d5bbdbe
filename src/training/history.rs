//! The index of what was seen: which places of the stream are learned from, which are held out, and where every class stands.
//!
//! A value that the trainer rebuilds from `(Seq, Label)` pairs at its start and appends to as rows come: a function of
//! the stream alone. Every question takes the newest place that may be looked at, so an answer never depends on rows that
//! came later. Memory: eight bytes a learned row (and the spare room of growing lists). Called by the trainer only.

use std::collections::BTreeMap;

use crate::stream::{Label, LearnerName, Seq};

/// Which places of a stream are evaluated and never learned: a fixed share, by hash of the learner's name and the place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holdout {
    key: u64,
    share: f64,
}

/// What was seen, by class. Regression has one class, the empty text.
#[derive(Debug, Clone)]
pub struct History {
    holdout: Holdout,
    head: Seq,
    learned: BTreeMap<String, Vec<u64>>,
}

impl Holdout {
    /// The holdout of a learner; `share` in [0, 1).
    pub fn new(learner: &LearnerName, share: f64) -> Self {
        let _ = (learner, share);
        unimplemented!("helper E1")
    }

    /// Whether this place is held out.
    pub fn contains(&self, seq: Seq) -> bool {
        let _ = (seq, self.key, self.share);
        unimplemented!("helper E1")
    }
}

impl History {
    /// A history that has seen nothing.
    pub fn new(holdout: Holdout) -> Self {
        Self { holdout, head: Seq(0), learned: BTreeMap::new() }
    }

    /// Takes the next rows; places at or before [`History::head`] are ignored, so handing rows over twice is harmless.
    pub fn append<'a>(&mut self, rows: impl IntoIterator<Item = (Seq, &'a Label)>) {
        let _ = (rows.into_iter().count(), &self.learned);
        unimplemented!("helper E1")
    }

    /// The newest place seen; 0 before the first.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The holdout.
    pub fn holdout(&self) -> Holdout {
        self.holdout
    }

    /// The places of `first..=last` that are learned from, in order.
    pub fn learned_between(&self, first: Seq, last: Seq) -> Vec<Seq> {
        let _ = (first, last);
        unimplemented!("helper E1")
    }

    /// How many rows up to `until` are learned from.
    pub fn learned_count(&self, until: Seq) -> usize {
        let _ = until;
        unimplemented!("helper E1")
    }

    /// The newest held-out places up to `until`, at most `rows`, in order of place: what the gate measures.
    pub fn newest_holdout(&self, until: Seq, rows: usize) -> Vec<Seq> {
        let _ = (until, rows);
        unimplemented!("helper E1")
    }
}
