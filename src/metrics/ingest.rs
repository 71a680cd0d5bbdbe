//! Examples.

use prometheus::{Histogram, IntCounterVec, IntGaugeVec, Registry};

use super::register::{SHORT, counters, forget, gauges, histogram};

#[derive(Clone)]
pub struct IngestMetrics {
    /// Examples offered, by outcome: accepted, duplicate, replaced, invalid, rejected (queue full or store failure).
    pub examples: IntCounterVec,
    /// Seconds of a group commit.
    pub commit_seconds: Histogram,
    /// The newest committed example of a learner.
    pub head_seq: IntGaugeVec,
}

impl IngestMetrics {
    /// The outcomes of an example.
    pub const OUTCOMES: [&str; 5] = ["accepted", "duplicate", "replaced", "invalid", "rejected"];

    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            examples: counters(
                registry,
                "ingest_examples_total",
                "Examples offered, by learner and outcome: accepted, duplicate, replaced, invalid, rejected.",
                &["learner", "outcome"],
            ),
            commit_seconds: histogram(registry, "ingest_commit_duration_seconds", "Seconds of a group commit.", SHORT),
            head_seq: gauges(registry, "stream_head_seq", "The newest committed example of a learner.", &["learner"]),
        }
    }

    pub(super) fn add_learner(&self, learner: &str) {
        for outcome in Self::OUTCOMES {
            self.examples.with_label_values(&[learner, outcome]).inc_by(0);
        }
        self.head_seq.with_label_values(&[learner]).add(0);
    }

    pub(super) fn remove_learner(&self, learner: &str) {
        for outcome in Self::OUTCOMES {
            forget(self.examples.remove_label_values(&[learner, outcome]));
        }
        forget(self.head_seq.remove_label_values(&[learner]));
    }
}
