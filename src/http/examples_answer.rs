//! The answer to a request that brought examples.
//!
//! A request that wants its good examples stored whatever the others are gets a verdict on each, if it was one JSON document; of
//! a longer body the counts and the first rejected ones.

use serde::Serialize;

use super::examples_commit::Stored;
use crate::stream::decode::Fault;
use crate::stream::intake::{Rejected, Rejections};
use crate::stream::{Outcome, Outcomes, Seq};

/// What became of the examples.
#[derive(Debug, Serialize)]
pub struct Answer {
    accepted: u64,
    duplicates: u64,
    #[serde(skip_serializing_if = "is_zero")]
    replaced: u64,
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
    Replaced,
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
        let Stored { accepted, duplicates, replaced, first, last, head, rejections, outcomes } = stored;
        let rejected = (verdicts != Verdicts::None).then_some(rejections.count);
        let examples = match verdicts {
            Verdicts::None => None,
            Verdicts::Rejected => Some(rejections.first.into_iter().map(Verdict::rejected).collect()),
            Verdicts::Each => Some(each(&outcomes.unwrap_or_default(), rejections)),
        };
        Self { accepted, duplicates, replaced, first_seq: first, last_seq: last, head_seq: head, rejected, examples }
    }
}

/// A verdict on every example of a document: those that were stored or known take the numbers that the rejected ones leave.
fn each(outcomes: &Outcomes, rejections: Rejections) -> Vec<Verdict> {
    let mut rejected = rejections.into_rows().peekable();
    let mut verdicts = Vec::new();
    for (outcome, seq) in outcomes.iter() {
        while let Some(verdict) = rejected.next_if(|verdict| verdict.index == verdicts.len() as u64) {
            verdicts.push(Verdict::rejected(verdict));
        }
        let status = match outcome {
            Outcome::Accepted => Status::Accepted,
            Outcome::Duplicate => Status::Duplicate,
            Outcome::Replaced => Status::Replaced,
        };
        verdicts.push(Verdict { index: verdicts.len() as u64, status, seq: Some(seq), errors: Vec::new() });
    }
    verdicts.extend(rejected.map(Verdict::rejected));
    verdicts
}

impl Verdict {
    fn rejected(rejected: Rejected) -> Self {
        Self { index: rejected.index, status: Status::Rejected, seq: None, errors: rejected.errors }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_a_document_has_its_verdict_in_order() {
        let mut outcomes = Outcomes::default();
        outcomes.push(Outcome::Accepted, Seq(8));
        outcomes.push(Outcome::Duplicate, Seq(2));
        outcomes.push(Outcome::Replaced, Seq(3));
        let mut rejections = Rejections::default();
        let fault = || vec![Fault { pointer: "/examples/0".into(), detail: "wrong".into() }];
        for (index, errors) in [(0, fault()), (2, fault()), (3, Vec::new()), (6, Vec::new())] {
            rejections.add(Rejected { index, errors }, 2);
        }
        let verdicts = each(&outcomes, rejections);
        let told: Vec<_> = verdicts.iter().map(|verdict| (verdict.index, verdict.status, verdict.seq)).collect();
        let expected = [
            (0, Status::Rejected, None),
            (1, Status::Accepted, Some(Seq(8))),
            (2, Status::Rejected, None),
            (3, Status::Rejected, None),
            (4, Status::Duplicate, Some(Seq(2))),
            (5, Status::Replaced, Some(Seq(3))),
            (6, Status::Rejected, None),
        ];
        assert_eq!(told, expected);
        assert_eq!(verdicts.iter().filter(|verdict| !verdict.errors.is_empty()).count(), 2);
    }
}
