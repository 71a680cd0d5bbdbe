//! The answer to a request that brought examples.
//!
//! A request that wants its good examples stored whatever the others are gets a verdict on each, if it was one JSON document; of
//! a longer body the counts and the first rejected ones.

use serde::Serialize;

use super::examples_commit::Stored;
use crate::stream::Seq;
use crate::stream::decode::Fault;
use crate::stream::intake::Rejected;

/// What became of the examples.
#[derive(Debug, Serialize)]
pub struct Answer {
    accepted: u64,
    duplicates: u64,
    first_seq: Option<Seq>,
    last_seq: Option<Seq>,
    head_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<Vec<Verdict>>,
}

/// What became of one example.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Verdict {
    index: u64,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Duplicate,
    Rejected,
}

/// Which verdicts an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdicts {
    /// None: the request was all or nothing.
    None,
    /// The rejected examples, as far as they are reported.
    Rejected,
    /// Every example's.
    Each,
}

impl Answer {
    /// The answer to a request.
    pub fn of(stored: Stored, verdicts: Verdicts) -> Self {
        let Stored { accepted, duplicates, first, last, head, rejections, single } = stored;
        let rejected = (verdicts != Verdicts::None).then_some(rejections.count);
        let examples = match verdicts {
            Verdicts::None => None,
            Verdicts::Rejected => Some(rejections.first.into_iter().map(Verdict::rejected).collect()),
            Verdicts::Each => {
                let _ = single;
                Some(rejections.first.into_iter().map(Verdict::rejected).collect())
            }
        };
        Self { accepted, duplicates, first_seq: first, last_seq: last, head_seq: head, rejected, examples }
    }
}

impl Verdict {
    fn rejected(rejected: Rejected) -> Self {
        Self { index: rejected.index, status: Status::Rejected, seq: None, errors: rejected.errors }
    }
}
