//! Corrections: what happens to an example after it got its place.
//!
//! Deleting leaves a tombstone: the place stays, and so does the id, which is never free again; values and label are gone.
//! Replacing puts other values and another label into the same place. Both are numbered, 1 for the first of a learner and
//! without gaps, in the transaction that does them, so that whoever holds copies of rows can follow. Values; made by stores.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ids::Seq;

/// What happened to an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionKind {
    /// Its values and its label are gone.
    Deleted,
    /// It has other values, or another label.
    Replaced,
}

/// One correction of a learner's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Its number: 1 for the learner's first, without gaps.
    pub number: u64,
    /// The place of the example.
    pub seq: Seq,
    /// What happened to it.
    pub kind: CorrectionKind,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Which example is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExampleName {
    /// The one with this id.
    Id(String),
    /// The one at this place.
    Seq(Seq),
}

/// What became of an order to delete an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted: a tombstone stands at this place.
    Deleted(Seq),
    /// It was deleted before; nothing changed.
    Before(Seq),
    /// There is no such example, or no such learner.
    Unknown,
}

impl CorrectionKind {
    /// The kind as stores write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
        }
    }

    /// Reads what a store wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Deleted, Self::Replaced].into_iter().find(|kind| kind.as_str() == text)
    }
}
