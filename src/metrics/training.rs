//! Trainers and growth.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{GaugeVec, Histogram, IntCounterVec, IntGaugeVec, Registry};

use super::CacheMetrics;
use super::register::{SHORT, counters, forget, gauges, histogram, real_gauges};

#[derive(Clone)]
pub struct TrainingMetrics {
    /// Optimizer steps.
    pub steps: IntCounterVec,
    /// Rows that went through training steps, replay included.
    pub examples: IntCounterVec,
    /// Seconds of an optimizer step.
    pub step_seconds: Histogram,
    /// Mean training loss of the newest round.
    pub loss: GaugeVec,
    /// Steps undone because a number was not finite.
    pub nonfinite: IntCounterVec,
    /// Turns of trainers that failed and are tried again.
    pub failures: IntCounterVec,
    /// Share of examples predicted right before they were learned, newest rows.
    pub progressive_accuracy: GaugeVec,
    /// Mean loss on the newest holdout rows.
    pub holdout_loss: GaugeVec,
    /// Gate runs, by outcome: passed, refused.
    pub gate: IntCounterVec,
    /// Growths committed, by op and trigger.
    pub growths: IntCounterVec,
    /// Growths refused, by op.
    pub growth_refusals: IntCounterVec,
    /// Seconds from plan to certificate.
    pub growth_seconds: Histogram,
    /// The certificate's largest relative difference at the newest growth.
    pub growth_max_rel_diff: GaugeVec,
    /// Trained parameters of the network.
    pub parameters: IntGaugeVec,
    /// Layers with weights.
    pub layers: IntGaugeVec,
    /// Channels of the nodes that can widen.
    width: IntGaugeVec,
    /// Bytes that a training step holds, by kind.
    pub memory: IntGaugeVec,
    /// Versions published, by outcome: live, waiting (accepted while `live` was pinned), kept.
    pub published: IntCounterVec,
    /// Where rows come from.
    pub cache: CacheMetrics,
    /// The nodes that have a width, by learner: what must be removed with it.
    nodes: Arc<Mutex<HashMap<String, HashSet<String>>>>,
}

impl TrainingMetrics {
    /// The ops of growths, as labels.
    pub const OPS: [&str; 4] = ["wider", "deeper", "inputs", "classes"];
    /// The triggers of growths, as labels.
    pub const TRIGGERS: [&str; 3] = ["policy", "manual", "stream"];
    /// The outcomes of the gate.
    pub const GATE: [&str; 2] = ["passed", "refused"];
    /// The kinds of memory of a training step.
    pub const MEMORY: [&str; 6] = ["weights", "optimizer", "activations", "gradients", "scratch", "peak"];
    /// The outcomes of publishing.
    pub const PUBLISHED: [&str; 3] = ["live", "waiting", "kept"];

    pub(super) fn new(registry: &Registry) -> Self {
        let learner: &[&str] = &["learner"];
        Self {
            steps: counters(registry, "train_steps_total", "Optimizer steps.", learner),
            examples: counters(
                registry,
                "train_examples_total",
                "Rows that went through training steps, replay included.",
                learner,
            ),
            step_seconds: histogram(registry, "train_step_duration_seconds", "Seconds of an optimizer step.", SHORT),
            loss: real_gauges(registry, "train_loss", "Mean training loss of the newest round.", learner),
            nonfinite: counters(
                registry,
                "train_nonfinite_total",
                "Steps undone because a number was not finite.",
                learner,
            ),
            failures: counters(
                registry,
                "train_failures_total",
                "Turns of trainers that failed and are tried again.",
                learner,
            ),
            progressive_accuracy: real_gauges(
                registry,
                "progressive_accuracy",
                "Share of examples predicted right before they were learned, newest rows.",
                learner,
            ),
            holdout_loss: real_gauges(registry, "holdout_loss", "Mean loss on the newest holdout rows.", learner),
            gate: counters(registry, "gate_total", "Gate runs, by outcome: passed, refused.", &["learner", "outcome"]),
            growths: counters(
                registry,
                "growth_events_total",
                "Growths committed, by op and trigger.",
                &["learner", "op", "trigger"],
            ),
            growth_refusals: counters(registry, "growth_refusals_total", "Growths refused, by op.", &["learner", "op"]),
            growth_seconds: histogram(registry, "growth_duration_seconds", "Seconds from plan to certificate.", SHORT),
            growth_max_rel_diff: real_gauges(
                registry,
                "growth_output_max_rel_diff",
                "The certificate's largest relative difference at the newest growth.",
                learner,
            ),
            parameters: gauges(registry, "network_parameters", "Trained parameters of the network.", learner),
            layers: gauges(registry, "network_layers", "Layers with weights.", learner),
            width: gauges(registry, "network_width", "Channels of the nodes that can widen.", &["learner", "node"]),
            memory: gauges(
                registry,
                "train_memory_bytes",
                "Bytes that a training step holds: weights, optimizer, activations, gradients, scratch; peak: all of them.",
                &["learner", "kind"],
            ),
            published: counters(
                registry,
                "versions_published_total",
                "Versions published, by outcome: live, waiting (accepted while live was pinned), kept.",
                &["learner", "outcome"],
            ),
            cache: CacheMetrics::new(registry),
            nodes: Arc::default(),
        }
    }

    /// Sets the widths of a learner's nodes; nodes that are gone lose theirs.
    pub fn set_widths<'a>(&self, learner: &str, widths: impl IntoIterator<Item = (&'a str, usize)>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = nodes.entry(learner.to_owned()).or_default();
        let mut now = HashSet::new();
        for (node, width) in widths {
            let width = i64::try_from(width).unwrap_or(i64::MAX);
            self.width.with_label_values(&[learner, node]).set(width);
            now.insert(node.to_owned());
        }
        for gone in known.difference(&now) {
            forget(self.width.remove_label_values(&[learner, gone]));
        }
        *known = now;
    }

    /// Creates the label sets of a learner that this process trains at 0.
    pub fn add_learner(&self, learner: &str) {
        for counter in [&self.steps, &self.examples, &self.nonfinite, &self.failures] {
            counter.with_label_values(&[learner]).inc_by(0);
        }
        for gauge in [&self.parameters, &self.layers] {
            gauge.with_label_values(&[learner]).add(0);
        }
        for gauge in [&self.loss, &self.progressive_accuracy, &self.holdout_loss, &self.growth_max_rel_diff] {
            gauge.with_label_values(&[learner]).add(0.0);
        }
        for op in Self::OPS {
            self.growth_refusals.with_label_values(&[learner, op]).inc_by(0);
            for trigger in Self::TRIGGERS {
                self.growths.with_label_values(&[learner, op, trigger]).inc_by(0);
            }
        }
        for outcome in Self::GATE {
            self.gate.with_label_values(&[learner, outcome]).inc_by(0);
        }
        for kind in Self::MEMORY {
            self.memory.with_label_values(&[learner, kind]).add(0);
        }
        for outcome in Self::PUBLISHED {
            self.published.with_label_values(&[learner, outcome]).inc_by(0);
        }
    }

    /// This process trains the learner no longer: what is measured of it goes, what was counted stays.
    pub fn rest(&self, learner: &str) {
        self.set_widths(learner, []);
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).remove(learner);
        for gauge in [&self.parameters, &self.layers] {
            forget(gauge.remove_label_values(&[learner]));
        }
        for gauge in [&self.loss, &self.progressive_accuracy, &self.holdout_loss, &self.growth_max_rel_diff] {
            forget(gauge.remove_label_values(&[learner]));
        }
        for kind in Self::MEMORY {
            forget(self.memory.remove_label_values(&[learner, kind]));
        }
    }

    /// Removes a deleted learner's label sets.
    pub fn remove_learner(&self, learner: &str) {
        self.rest(learner);
        for counter in [&self.steps, &self.examples, &self.nonfinite, &self.failures] {
            forget(counter.remove_label_values(&[learner]));
        }
        for op in Self::OPS {
            forget(self.growth_refusals.remove_label_values(&[learner, op]));
            for trigger in Self::TRIGGERS {
                forget(self.growths.remove_label_values(&[learner, op, trigger]));
            }
        }
        for outcome in Self::GATE {
            forget(self.gate.remove_label_values(&[learner, outcome]));
        }
        for outcome in Self::PUBLISHED {
            forget(self.published.remove_label_values(&[learner, outcome]));
        }
    }
}
