//! The answer to appended examples: what became of every one of them, in order, told in runs.
//!
//! It is kept under the request's idempotency key as JSON, so its form is part of what is stored: what an earlier version
//! wrote is read by every later one. Made by stores, shown by the HTTP edge.

use serde::{Deserialize, Serialize};

use super::ids::Seq;

/// A request's examples are committed and synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// New examples.
    pub accepted: u64,
    /// Examples whose id was there already; they were not stored.
    pub duplicates: u64,
    /// Examples that took the place of the one with their id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// The place of the first new one; absent if there is none.
    pub first_seq: Option<Seq>,
    /// The place of the last new one.
    pub last_seq: Option<Seq>,
    /// The learner's newest place after this request.
    pub head_seq: Seq,
    /// What became of each example. Empty in an answer that was kept before outcomes were, and for no examples.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub outcomes: Outcomes,
}

/// What became of one example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new and has a place of its own.
    Accepted,
    /// Its id was there already, maybe as that of a deleted example; nothing changed.
    Duplicate,
    /// It took the place of the example with its id.
    Replaced,
}

/// Examples in a row that had the same outcome at places in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(Outcome, Seq, u64)", from = "(Outcome, Seq, u64)")]
pub struct OutcomeRun {
    /// What became of them.
    pub outcome: Outcome,
    /// The place of the first: its own, or that of the stored example with its id.
    pub first: Seq,
    /// How many they are, at least one.
    pub count: u64,
}

/// The outcomes of a request's examples, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outcomes(Vec<OutcomeRun>);

impl Outcomes {
    /// The outcome of the next example.
    pub fn push(&mut self, outcome: Outcome, seq: Seq) {
        match self.0.last_mut() {
            Some(run) if run.outcome == outcome && run.first.0 + run.count == seq.0 => run.count += 1,
            _ => self.0.push(OutcomeRun { outcome, first: seq, count: 1 }),
        }
    }

    /// The runs.
    pub fn runs(&self) -> &[OutcomeRun] {
        &self.0
    }

    /// The outcome and the place of every example, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, Seq)> {
        let places = |run: &OutcomeRun| {
            let OutcomeRun { outcome, first, count } = *run;
            (first.0..first.0.saturating_add(count)).map(move |seq| (outcome, Seq(seq)))
        };
        self.0.iter().flat_map(places)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many examples had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.iter().filter(|run| run.outcome == outcome).map(|run| run.count).sum()
    }
}

impl Appended {
    /// The answer that these outcomes make; `head`: the newest place after them.
    pub fn of(outcomes: Outcomes, head: Seq) -> Self {
        let accepted = outcomes.count(Outcome::Accepted);
        Self {
            accepted,
            duplicates: outcomes.count(Outcome::Duplicate),
            replaced: outcomes.count(Outcome::Replaced),
            first_seq: (accepted > 0).then(|| Seq(head.0 + 1 - accepted)),
            last_seq: (accepted > 0).then_some(head),
            head_seq: head,
            outcomes,
        }
    }

    /// The counts alone.
    pub fn without_outcomes(self) -> Self {
        Self { outcomes: Outcomes::default(), ..self }
    }
}

impl From<OutcomeRun> for (Outcome, Seq, u64) {
    fn from(run: OutcomeRun) -> Self {
        (run.outcome, run.first, run.count)
    }
}

impl From<(Outcome, Seq, u64)> for OutcomeRun {
    fn from((outcome, first, count): (Outcome, Seq, u64)) -> Self {
        Self { outcome, first, count }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_in_runs_and_read_back() {
        let told = [
            (Outcome::Accepted, Seq(11)),
            (Outcome::Accepted, Seq(12)),
            (Outcome::Duplicate, Seq(3)),
            (Outcome::Duplicate, Seq(4)),
            (Outcome::Duplicate, Seq(9)),
            (Outcome::Replaced, Seq(10)),
            (Outcome::Accepted, Seq(13)),
        ];
        let mut outcomes = Outcomes::default();
        told.iter().for_each(|&(outcome, seq)| outcomes.push(outcome, seq));
        assert_eq!(outcomes.runs().len(), 5);
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), told);
        let answer = Appended::of(outcomes, Seq(13));
        assert_eq!((answer.accepted, answer.duplicates, answer.replaced), (3, 3, 1));
        assert_eq!((answer.first_seq, answer.last_seq), (Some(Seq(11)), Some(Seq(13))));
        let json = serde_json::to_string(&answer).unwrap();
        assert!(json.contains(r#"["accepted",11,2],["duplicate",3,2]"#), "{json}");
        assert_eq!(serde_json::from_str::<Appended>(&json).unwrap(), answer);
    }

    #[test]
    fn an_answer_from_before_outcomes_were_kept_reads_back() {
        let json = r#"{"accepted":2,"duplicates":1,"first_seq":4,"last_seq":5,"head_seq":5}"#;
        let answer: Appended = serde_json::from_str(json).unwrap();
        assert_eq!((answer.accepted, answer.duplicates, answer.replaced, answer.head_seq), (2, 1, 0, Seq(5)));
        assert!(answer.outcomes.is_empty());
        assert_eq!(serde_json::to_string(&answer).unwrap(), json);
    }
}
