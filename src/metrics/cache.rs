//! Where a trainer's rows come from.

use prometheus::{IntCounterVec, Registry};

use super::register::counters;

#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// Rows that trainers asked for, by source: memory, cache, store.
    pub rows: IntCounterVec,
    /// Segments of the stream cache, by outcome: built, stale, damaged, failed.
    pub segments: IntCounterVec,
}

impl CacheMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            rows: counters(
                registry,
                "train_rows_total",
                "Rows that trainers asked for, by source: memory, cache, store.",
                &["source"],
            ),
            segments: counters(
                registry,
                "stream_cache_segments_total",
                "Segments of the stream cache, by outcome: built, stale, damaged, failed.",
                &["outcome"],
            ),
        };
        for source in ["memory", "cache", "store"] {
            metrics.rows.with_label_values(&[source]).inc_by(0);
        }
        for outcome in ["built", "stale", "damaged", "failed"] {
            metrics.segments.with_label_values(&[outcome]).inc_by(0);
        }
        metrics
    }
}
