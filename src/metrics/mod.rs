//! Metrics: one struct per subsystem, cheap to clone, over one registry.
//!
//! The doc comment of a field is the metric's HELP. Label sets that are known from the start are created at 0; a
//! learner's are created with it and removed with it. A process exports what it does: one that does not train has nothing
//! to say of training, and one that only trains nothing of streams and predictions.

mod cache;
mod http;
mod ingest;
mod register;
mod registry;
mod serving;
mod store;
mod training;

use prometheus::{Encoder, Registry, TextEncoder};

pub use cache::CacheMetrics;
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

/// What a process does, and so exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// It takes examples and predicts, and does not train.
    Api,
    /// It trains.
    Worker,
}

impl Metrics {
    /// A new registry with every metric in it.
    pub fn new() -> Self {
        Self::of(Part::All)
    }

    /// A new registry with the metrics of a process that does this.
    pub fn of(part: Part) -> Self {
        let registry = Registry::new();
        register::build_info(&registry);
        // What is not exported is counted all the same, where nobody looks.
        let unseen = Registry::new();
        let served = if part == Part::Worker { &unseen } else { &registry };
        let trained = if part == Part::Api { &unseen } else { &registry };
        Self {
            http: HttpMetrics::new(&registry),
            ingest: IngestMetrics::new(served),
            training: TrainingMetrics::new(trained),
            registry: RegistryMetrics::new(served),
            serving: ServingMetrics::new(served),
            store: StoreMetrics::new(&registry),
            page: registry,
        }
    }

    /// Creates the label sets of a learner that is served at 0; those of training come with its trainer.
    pub fn add_learner(&self, learner: &str) {
        self.ingest.add_learner(learner);
        self.registry.add_learner(learner);
        self.serving.add_learner(learner);
    }

    /// Removes the label sets of a deleted learner that was served; those of training go with its trainer.
    pub fn remove_learner(&self, learner: &str) {
        self.ingest.remove_learner(learner);
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
        metrics.training.add_learner("digits");
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
        metrics.training.add_learner("digits");
        metrics.training.set_widths("digits", [("hidden1", 8)]);
        assert!(metrics.render().contains("learner=\"digits\""));
        metrics.remove_learner("digits");
        metrics.training.remove_learner("digits");
        assert!(!metrics.render().contains("digits"), "{}", metrics.render());
    }

    #[test]
    fn every_metric_is_exported_by_servers_or_by_workers() {
        let names = |part| -> BTreeSet<String> {
            let metrics = Metrics::of(part);
            metrics.add_learner("digits");
            metrics.training.add_learner("digits");
            let page = metrics.render();
            let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            types.map(|rest| first_word(rest).to_owned()).collect()
        };
        let (all, api, worker) = (names(Part::All), names(Part::Api), names(Part::Worker));
        assert_eq!(&api | &worker, all);
        let both = ["perennial_build_info", "perennial_db_pool_connections", "perennial_http_requests_in_flight"];
        assert_eq!((&api & &worker).into_iter().collect::<Vec<_>>(), both);
        assert!(api.contains("perennial_stream_trained_seq") && worker.contains("perennial_train_steps_total"));
    }
}
