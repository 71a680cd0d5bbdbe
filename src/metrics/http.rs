//! Requests.

use prometheus::{HistogramVec, IntCounterVec, IntGauge, Registry};

use super::register::{SHORT, counters, gauge, histograms};

#[derive(Clone)]
pub struct HttpMetrics {
    /// Requests answered, by matched route, method and status.
    pub requests: IntCounterVec,
    /// Seconds from request to response head, by matched route and method.
    pub seconds: HistogramVec,
    /// Requests being answered.
    pub in_flight: IntGauge,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: counters(
                registry,
                "http_requests_total",
                "Requests answered, by matched route, method and status.",
                &["route", "method", "status"],
            ),
            seconds: histograms(
                registry,
                "http_request_duration_seconds",
                "Seconds from request to response head, by matched route and method.",
                &["route", "method"],
                SHORT,
            ),
            in_flight: gauge(registry, "http_requests_in_flight", "Requests being answered."),
        }
    }
}
