//! Metrics: one struct per subsystem, cheap to clone, over one registry.
//!
//! The doc comment of a field is the metric's HELP. Label sets that are known from the start are created at 0; a
//! learner's are created with it and removed with it.

mod http;
mod ingest;
mod register;
mod registry;
mod serving;
mod store;
mod training;

use prometheus::{Encoder, Registry, TextEncoder};

pub use http::HttpMetrics;
pub use ingest::IngestMetrics;
pub use registry::RegistryMetrics;
pub use serving::ServingMetrics;
pub use store::StoreMetrics;
pub use training::TrainingMetrics;

/// All metrics of a process.
#[derive(Clone)]
pub struct Metrics {
    page: Registry,
    /// Requests.
    pub http: HttpMetrics,
    /// Examples.
    pub ingest: IngestMetrics,
    /// Trainers and growth.
    pub training: TrainingMetrics,
    /// Versions and aliases.
    pub registry: RegistryMetrics,
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
            registry: RegistryMetrics::new(&registry),
            serving: ServingMetrics::new(&registry),
            store: StoreMetrics::new(&registry),
            page: registry,
        }
    }

    /// Creates a learner's label sets at 0.
    pub fn add_learner(&self, learner: &str) {
        self.ingest.add_learner(learner);
        self.training.add_learner(learner);
        self.registry.add_learner(learner);
        self.serving.add_learner(learner);
    }

    /// Removes a deleted learner's label sets.
    pub fn remove_learner(&self, learner: &str) {
        self.ingest.remove_learner(learner);
        self.training.remove_learner(learner);
        self.registry.remove_learner(learner);
        self.serving.remove_learner(learner);
    }

    /// The page for Prometheus (text format 0.0.4).
    pub fn render(&self) -> String {
        let mut page = Vec::new();
        TextEncoder::new()
            .encode(&self.page.gather(), &mut page)
            .expect("writing text to memory cannot fail: every metric has a name and a help text");
        String::from_utf8(page).expect("the text encoder writes UTF-8")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The names of everything that is exported once there is a learner and a request was answered.
    fn exported() -> BTreeSet<String> {
        let metrics = Metrics::new();
        metrics.add_learner("digits");
        metrics.training.set_widths("digits", [("hidden1", 8)]);
        metrics.http.requests.with_label_values(&["/", "GET", "200"]).inc();
        metrics.http.seconds.with_label_values(&["/", "GET"]).observe(0.1);
        let page = metrics.render();
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|rest| first_word(rest).to_owned()).collect()
    }

    fn first_word(text: &str) -> &str {
        text.split(' ').next().unwrap_or(text)
    }

    /// Every word of a deployed file that begins with the prefix.
    fn named(file: &str) -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = std::fs::read_to_string(path).expect("readable");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("perennial_")).map(str::to_owned).collect()
    }

    #[test]
    fn every_metric_that_dashboard_and_rules_name_is_exported() {
        let exported = exported();
        for file in ["grafana/dashboards/perennial.json", "prometheus/rules.yml"] {
            let named = named(file);
            assert!(named.len() > 5, "{file}: {named:?}");
            for name in named {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
                assert!(exported.contains(base.unwrap_or(&name)), "{file} names {name}");
            }
        }
    }

    #[test]
    fn every_metric_is_on_the_dashboard() {
        let named = named("grafana/dashboards/perennial.json");
        for name in exported() {
            let shown = named.contains(&name) || named.contains(&format!("{name}_bucket"));
            let needs_no_panel =
                ["perennial_build_info", "perennial_train_nonfinite_total", "perennial_predict_batch_rows"];
            assert!(shown || needs_no_panel.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn a_removed_learner_leaves_no_series() {
        let metrics = Metrics::new();
        metrics.add_learner("digits");
        metrics.training.set_widths("digits", [("hidden1", 8)]);
        assert!(metrics.render().contains("learner=\"digits\""));
        metrics.remove_learner("digits");
        assert!(!metrics.render().contains("digits"), "{}", metrics.render());
    }
}
