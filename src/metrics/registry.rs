//! Versions and aliases.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{IntGaugeVec, Registry};

use super::register::{forget, gauges};

/// The alias that every learner has.
const LIVE: &str = "live";

#[derive(Clone)]
pub struct RegistryMetrics {
    /// Whether an alias is pinned: 1 until it is unpinned.
    alias_pinned: IntGaugeVec,
    /// The label sets other than those of `live`, by learner and alias: what must be removed with them.
    others: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl RegistryMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let help = "Whether an alias is pinned: 1 until it is unpinned.";
        let alias_pinned = gauges(registry, "alias_pinned", help, &["learner", "alias"]);
        Self { alias_pinned, others: Arc::default() }
    }

    /// Shows which aliases of these learners are pinned, and no others.
    pub fn show_pins(&self, learners: &[&str], pinned: &BTreeSet<(String, String)>) {
        let mut others = self.others();
        for gone in others.difference(pinned) {
            forget(self.alias_pinned.remove_label_values(&[&gone.0, &gone.1]));
        }
        for learner in learners {
            let is_pinned = pinned.contains(&((*learner).to_owned(), LIVE.to_owned()));
            self.alias_pinned.with_label_values(&[*learner, LIVE]).set(i64::from(is_pinned));
        }
        *others = pinned.iter().filter(|(_, alias)| alias != LIVE).cloned().collect();
        for (learner, alias) in &*others {
            self.alias_pinned.with_label_values(&[learner, alias]).set(1);
        }
    }

    pub(super) fn add_learner(&self, learner: &str) {
        self.alias_pinned.with_label_values(&[learner, LIVE]).add(0);
    }

    pub(super) fn remove_learner(&self, learner: &str) {
        forget(self.alias_pinned.remove_label_values(&[learner, LIVE]));
        let mut others = self.others();
        for (whose, alias) in others.iter().filter(|(whose, _)| whose == learner) {
            forget(self.alias_pinned.remove_label_values(&[whose, alias]));
        }
        others.retain(|(whose, _)| whose != learner);
    }

    fn others(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    fn pins(metrics: &Metrics, pinned: &[(&str, &str)]) -> Vec<String> {
        let pinned = pinned.iter().map(|(learner, alias)| ((*learner).to_owned(), (*alias).to_owned())).collect();
        metrics.registry.show_pins(&["digits"], &pinned);
        lines(metrics)
    }

    fn lines(metrics: &Metrics) -> Vec<String> {
        let page = metrics.render();
        page.lines().filter(|line| line.starts_with("perennial_alias_pinned")).map(str::to_owned).collect()
    }

    #[test]
    fn pins_are_shown_until_they_are_gone() {
        let metrics = Metrics::new();
        metrics.add_learner("digits");
        let live = |pinned: u8| format!("perennial_alias_pinned{{alias=\"live\",learner=\"digits\"}} {pinned}");
        let canary = "perennial_alias_pinned{alias=\"canary\",learner=\"digits\"} 1".to_owned();
        assert_eq!(lines(&metrics), [live(0)]);
        assert_eq!(pins(&metrics, &[("digits", "live"), ("digits", "canary")]), [canary.clone(), live(1)]);
        assert_eq!(pins(&metrics, &[("digits", "canary")]), [canary, live(0)]);
        assert_eq!(pins(&metrics, &[]), [live(0)]);
        pins(&metrics, &[("digits", "canary")]);
        metrics.remove_learner("digits");
        assert!(lines(&metrics).is_empty());
    }
}
