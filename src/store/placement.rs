//! Where the examples of a request belong: behind the others, in the place of the one with their id, or nowhere.
//!
//! The one rule of every store, over whatever form of examples it writes. A value: the store says which ids it has, inside
//! the transaction that will write, and writes what comes out.

use std::collections::{BTreeMap, HashMap};

use crate::stream::{Appended, Existing, Outcome, Outcomes, Seq};

/// Where an id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// An example in the store has it.
    Stored(Seq),
    /// A tombstone in the store has it.
    Deleted(Seq),
    /// The new example of this index has it.
    New(usize),
}

/// A request's examples in their places.
pub(super) struct Placement<E> {
    head: Seq,
    existing: Existing,
    ids: HashMap<String, Standing>,
    outcomes: Outcomes,
    /// The new examples, for the places after the head, in order.
    pub(super) new: Vec<E>,
    /// What takes the places of stored examples.
    pub(super) replacements: BTreeMap<Seq, E>,
}

impl<E> Placement<E> {
    /// Nothing taken yet. `head`: the newest place; `ids`: those of the request's ids that the store has.
    pub(super) fn after(head: Seq, existing: Existing, ids: HashMap<String, Standing>) -> Self {
        Self { head, existing, ids, outcomes: Outcomes::default(), new: Vec::new(), replacements: BTreeMap::new() }
    }

    /// Takes the next example.
    pub(super) fn take(&mut self, id: Option<String>, example: E) {
        let standing = id.as_ref().and_then(|id| self.ids.get(id).copied());
        let (outcome, seq) = match (standing, self.existing) {
            (None, _) => {
                if let Some(id) = id {
                    self.ids.insert(id, Standing::New(self.new.len()));
                }
                self.new.push(example);
                (Outcome::Accepted, self.place(self.new.len() - 1))
            }
            (Some(Standing::Deleted(seq)), _) => (Outcome::Duplicate, seq),
            (Some(Standing::Stored(seq)), Existing::Keep) => (Outcome::Duplicate, seq),
            (Some(Standing::Stored(seq)), Existing::Replace) => {
                self.replacements.insert(seq, example);
                (Outcome::Replaced, seq)
            }
            (Some(Standing::New(index)), Existing::Keep) => (Outcome::Duplicate, self.place(index)),
            (Some(Standing::New(index)), Existing::Replace) => {
                self.new[index] = example;
                (Outcome::Replaced, self.place(index))
            }
        };
        self.outcomes.push(outcome, seq);
    }

    /// The answer to the request.
    pub(super) fn answer(&self) -> Appended {
        Appended::of(self.outcomes.clone(), Seq(self.head.0 + self.new.len() as u64))
    }

    fn place(&self, index: usize) -> Seq {
        Seq(self.head.0 + 1 + index as u64)
    }
}
