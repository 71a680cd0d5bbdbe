//! Making and registering metrics under the prefix `perennial_`.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds of short work: 100 µs to 10 s.
pub const SHORT: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Rows of a batch.
pub const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("perennial")
}

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("the names and labels of metrics are constants that a test renders");
    registry.register(Box::new(metric.clone())).expect("every metric is registered once");
    metric
}

pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(options(name, help), labels))
}

pub fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::with_opts(options(name, help)))
}

pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(options(name, help), labels))
}

pub fn real_gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(registry, GaugeVec::new(options(name, help), labels))
}

pub fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
    registered(registry, Histogram::with_opts(options))
}

pub fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}

/// `perennial_build_info{version} 1`.
pub fn build_info(registry: &Registry) {
    let info: GaugeVec = real_gauges(registry, "build_info", "The running build; always 1.", &["version"]);
    let one: Gauge = info.with_label_values(&[env!("CARGO_PKG_VERSION")]);
    one.set(1.0);
}

/// Removes every label set of a learner; one that was never created is no fault.
pub fn forget(result: prometheus::Result<()>) {
    // The only error of a removal is "not there", which is what the caller wants.
    drop(result);
}
