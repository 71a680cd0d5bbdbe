//! What a trainer shows of itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compute::memory::Memory;
use crate::network::Network;
use crate::stream::Seq;

/// What a learner's trainer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingState {
    /// There are rows or passes to learn from.
    Training,
    /// Everything is learned and passes over history no longer help.
    Idle,
    /// The trainer cannot go on; the reason is in the log. It is tried again.
    Failed,
}

/// A snapshot of a trainer.
#[derive(Debug, Clone)]
pub struct TrainerStatus {
    /// What it does.
    pub state: TrainingState,
    /// Every example up to this place was offered to the trainer as new.
    pub trained_seq: Seq,
    /// Optimizer steps done.
    pub steps: u64,
    /// The trainer's network.
    pub network: Arc<Network>,
    /// What one of its steps holds in memory.
    pub memory: Memory,
    /// What is measured; keys as the HTTP surface shows them.
    pub metrics: LearnerMetrics,
}

/// What is measured of a learner, absent until there is something to measure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LearnerMetrics {
    /// Examples predicted before they were learned.
    pub progressive_rows: u64,
    /// Share of them that was right (classification), since the start.
    pub progressive_accuracy: Option<f64>,
    /// The same for the newest rows (window of 1,000).
    pub recent_accuracy: Option<f64>,
    /// Mean log loss or squared error before learning, newest rows.
    pub progressive_loss: Option<f64>,
    /// Cohen's kappa against chance.
    pub kappa: Option<f64>,
    /// Kappa against always answering the last label.
    pub kappa_temporal: Option<f64>,
    /// Expected calibration error, ten bins.
    pub calibration_error: Option<f64>,
    /// Accuracy of always answering the most frequent class so far, or the squared error of the running mean.
    pub baseline_majority: Option<f64>,
    /// Accuracy of always answering the last label, or the squared error of the last value.
    pub baseline_last: Option<f64>,
    /// Mean training loss of the newest round.
    pub training_loss: Option<f64>,
    /// Holdout rows measured.
    pub holdout_rows: u64,
    /// Mean loss on them.
    pub holdout_loss: Option<f64>,
    /// Accuracy on them (classification).
    pub holdout_accuracy: Option<f64>,
}
