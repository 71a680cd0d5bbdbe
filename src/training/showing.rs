//! A trainer's figures as metrics.
//!
//! Set whenever a snapshot is shown, also for learners whose trainer is not in memory, so that a restart shows what it
//! found. Called by the supervisor and its threads.

use super::status::TrainerStatus;
use crate::metrics::TrainingMetrics;
use crate::network::{Network, Shape};

/// Shows a snapshot of the learner `name`.
pub(super) fn show(metrics: &TrainingMetrics, name: &str, status: &TrainerStatus) {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let network = &status.network;
    metrics.parameters.with_label_values(&[name]).set(whole(network.parameter_count()));
    metrics.layers.with_label_values(&[name]).set(whole(network.layer_count() as u64));
    metrics.set_widths(name, widths(network));
    let memory = &status.memory;
    let held = [memory.weights, memory.optimizer, memory.activations, memory.gradients, memory.scratch, memory.peak()];
    for (kind, bytes) in TrainingMetrics::MEMORY.into_iter().zip(held) {
        metrics.memory.with_label_values(&[name, kind]).set(whole(bytes));
    }
    let measured = [
        (&metrics.loss, status.metrics.training_loss),
        (&metrics.progressive_accuracy, status.metrics.recent_accuracy),
        (&metrics.holdout_loss, status.metrics.holdout_loss),
    ];
    for (gauge, value) in measured {
        if let Some(value) = value {
            gauge.with_label_values(&[name]).set(value);
        }
    }
}

/// The nodes that can widen, with their channels: those that make channels, other than the output.
fn widths(network: &Network) -> impl Iterator<Item = (&str, usize)> {
    let inner = &network.nodes()[..network.nodes().len() - 1];
    let channels = |node| network.shape(node).map_or(0, Shape::channels);
    inner.iter().filter(|node| node.op.produces_channels()).map(move |node| (node.id.as_str(), channels(&node.id)))
}
