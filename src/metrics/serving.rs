//! Predictions.

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::register::{ROWS, SHORT, counters, forget, gauge, gauges, histogram};

#[derive(Clone)]
pub struct ServingMetrics {
    /// Rows predicted.
    pub rows: IntCounterVec,
    /// Rows of a batch.
    pub batch_rows: Histogram,
    /// Rows waiting for a batch.
    pub queue_rows: IntGauge,
    /// Seconds that a request waited for its batch.
    pub queue_wait_seconds: Histogram,
    /// Requests not answered, by reason: queue_full, deadline, damaged, failed, stopping.
    pub rejections: IntCounterVec,
    /// The version that answers by default.
    pub version: IntGaugeVec,
    /// Seconds from the start of loading a version to its being swapped in.
    pub swap_seconds: Histogram,
    /// Versions that could not be loaded; the previous one keeps answering.
    pub load_failures: IntCounterVec,
}

impl ServingMetrics {
    /// Why a prediction is not answered.
    pub const REASONS: [&str; 5] = ["queue_full", "deadline", "damaged", "failed", "stopping"];

    pub(super) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            rows: counters(registry, "predict_rows_total", "Rows predicted.", &["learner"]),
            batch_rows: histogram(registry, "predict_batch_rows", "Rows of a prediction batch.", ROWS),
            queue_rows: gauge(registry, "predict_queue_rows", "Rows waiting for a prediction batch."),
            queue_wait_seconds: histogram(
                registry,
                "predict_queue_wait_seconds",
                "Seconds that a prediction waited for its batch.",
                SHORT,
            ),
            rejections: counters(
                registry,
                "predict_rejections_total",
                "Predictions not answered, by reason: queue_full, deadline, damaged, failed, stopping.",
                &["reason"],
            ),
            version: gauges(registry, "serving_version", "The version that answers by default.", &["learner"]),
            swap_seconds: histogram(
                registry,
                "swap_duration_seconds",
                "Seconds from the start of loading a version to its being swapped in.",
                SHORT,
            ),
            load_failures: counters(
                registry,
                "version_load_failures_total",
                "Versions that could not be loaded; the previous one keeps answering.",
                &["learner"],
            ),
        };
        for reason in Self::REASONS {
            metrics.rejections.with_label_values(&[reason]).inc_by(0);
        }
        metrics
    }

    pub(super) fn add_learner(&self, learner: &str) {
        self.rows.with_label_values(&[learner]).inc_by(0);
        self.load_failures.with_label_values(&[learner]).inc_by(0);
        self.version.with_label_values(&[learner]).add(0);
    }

    pub(super) fn remove_learner(&self, learner: &str) {
        forget(self.rows.remove_label_values(&[learner]));
        forget(self.load_failures.remove_label_values(&[learner]));
        forget(self.version.remove_label_values(&[learner]));
    }
}
