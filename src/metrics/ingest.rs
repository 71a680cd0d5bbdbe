//! Examples.

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::register::{SHORT, counters, forget, gauge, gauges, histogram};

#[derive(Clone)]
pub struct IngestMetrics {
    /// Examples offered, by outcome: accepted, duplicate, replaced, invalid, rejected (queue full or store failure).
    pub examples: IntCounterVec,
    /// Seconds of a group commit.
    pub commit_seconds: Histogram,
    /// Group commits that failed, by reason: unavailable, full, damaged.
    pub commit_failures: IntCounterVec,
    /// Examples that wait for the writer.
    pub queue_examples: IntGauge,
    /// Bytes of the database's write-ahead log, when the writer last rested.
    pub wal_bytes: IntGauge,
    /// The newest committed example of a learner.
    pub head_seq: IntGaugeVec,
    /// The newest example of a learner that was offered to its trainer as new, as far as it is committed or known here.
    pub trained_seq: IntGaugeVec,
}

impl IngestMetrics {
    /// The outcomes of an example.
    pub const OUTCOMES: [&str; 5] = ["accepted", "duplicate", "replaced", "invalid", "rejected"];

    /// Why a group commit fails.
    pub const FAILURES: [&str; 3] = ["unavailable", "full", "damaged"];

    pub(super) fn new(registry: &Registry) -> Self {
        let commit_failures = counters(
            registry,
            "ingest_commit_failures_total",
            "Group commits that failed, by reason: unavailable, full, damaged.",
            &["reason"],
        );
        for reason in Self::FAILURES {
            commit_failures.with_label_values(&[reason]).inc_by(0);
        }
        Self {
            commit_failures,
            examples: counters(
                registry,
                "ingest_examples_total",
                "Examples offered, by learner and outcome: accepted, duplicate, replaced, invalid, rejected.",
                &["learner", "outcome"],
            ),
            commit_seconds: histogram(registry, "ingest_commit_duration_seconds", "Seconds of a group commit.", SHORT),
            queue_examples: gauge(registry, "ingest_queue_examples", "Examples that wait for the writer."),
            wal_bytes: gauge(
                registry,
                "db_wal_bytes",
                "Bytes of the database's write-ahead log, when the writer last rested.",
            ),
            head_seq: gauges(registry, "stream_head_seq", "The newest committed example of a learner.", &["learner"]),
            trained_seq: gauges(
                registry,
                "stream_trained_seq",
                "The newest example that was offered to the trainer as new.",
                &["learner"],
            ),
        }
    }

    pub(super) fn add_learner(&self, learner: &str) {
        for outcome in Self::OUTCOMES {
            self.examples.with_label_values(&[learner, outcome]).inc_by(0);
        }
        for gauge in [&self.head_seq, &self.trained_seq] {
            gauge.with_label_values(&[learner]).add(0);
        }
    }

    pub(super) fn remove_learner(&self, learner: &str) {
        for outcome in Self::OUTCOMES {
            forget(self.examples.remove_label_values(&[learner, outcome]));
        }
        for gauge in [&self.head_seq, &self.trained_seq] {
            forget(gauge.remove_label_values(&[learner]));
        }
    }
}
