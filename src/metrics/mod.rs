//! Metrics: one struct per subsystem, cheap to clone, over one registry.
//!
//! The doc comment of a field is the metric's HELP. Label sets that are known from the start are created at 0; a
//! learner's are created with it and removed with it.

mod http;
mod ingest;
mod register;
mod serving;
mod store;
mod training;

use prometheus::{Encoder, Registry, TextEncoder};

pub use http::HttpMetrics;
pub use ingest::IngestMetrics;
pub use serving::ServingMetrics;
pub use store::StoreMetrics;
pub use training::TrainingMetrics;

/// All metrics of a process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Requests.
    pub http: HttpMetrics,
    /// Examples.
    pub ingest: IngestMetrics,
    /// Trainers and growth.
    pub training: TrainingMetrics,
    /// Predictions.
    pub serving: ServingMetrics,
    /// The database.
    pub store: StoreMetrics,
}

impl Metrics {
    /// A new registry with every metric in it.
    pub fn new() -> Self {
        let registry = Registry::new();
        register::build_info(&registry);
        Self {
            http: HttpMetrics::new(&registry),
            ingest: IngestMetrics::new(&registry),
            training: TrainingMetrics::new(&registry),
            serving: ServingMetrics::new(&registry),
            store: StoreMetrics::new(&registry),
            registry,
        }
    }

    /// Creates a learner's label sets at 0.
    pub fn add_learner(&self, learner: &str) {
        self.ingest.add_learner(learner);
        self.training.add_learner(learner);
        self.serving.add_learner(learner);
    }

    /// Removes a deleted learner's label sets.
    pub fn remove_learner(&self, learner: &str) {
        self.ingest.remove_learner(learner);
        self.training.remove_learner(learner);
        self.serving.remove_learner(learner);
    }

    /// The page for Prometheus (text format 0.0.4).
    pub fn render(&self) -> String {
        let mut page = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut page)
            .expect("writing text to memory cannot fail: every metric has a name and a help text");
        String::from_utf8(page).expect("the text encoder writes UTF-8")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
