//! The learning rate at a step: configured × set-backs × warm-up after a growth.
//!
//! A function of settings, the step's number and two numbers that the checkpoint carries. Called by the trainer.

use serde::{Deserialize, Serialize};

use super::settings::TrainingSettings;

/// What moves the rate away from the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Halved by every set-back; 1 at first.
    pub set_back_factor: f64,
    /// The number of steps done at the last growth; `None` before the first.
    pub grown_at: Option<u64>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { set_back_factor: 1.0, grown_at: None }
    }
}

impl Rates {
    /// The rate of step number `step` (1 for the learner's first).
    pub fn learning_rate(&self, settings: &TrainingSettings, step: u64) -> f64 {
        let _ = (settings, step);
        unimplemented!("helper E1")
    }

    /// A growth was committed after `step` steps: the warm-up starts again. It never compounds with an earlier one.
    pub fn grown(&mut self, step: u64) {
        self.grown_at = Some(step);
    }

    /// Training was set back.
    pub fn set_back(&mut self) {
        self.set_back_factor *= 0.5;
    }
}
