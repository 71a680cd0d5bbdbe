//! The learning rate: configured × schedule × set-backs, in passes over history × plateau, and warmed up after a growth.
//!
//! A function of settings and three numbers that the checkpoint carries; the optimizer makes of it, with the step's number
//! and the births that its state carries, the rate of every element. Called by the trainer.

use serde::{Deserialize, Serialize};

use super::settings::TrainingSettings;
use crate::compute::optimizer::{Rate, Scheduled, Warmup};

/// What moves the rate away from the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Halved by every set-back; 1 at first.
    pub set_back_factor: f64,
    /// The number of steps done at the last growth; `None` before the first.
    pub grown_at: Option<u64>,
    /// The number of steps done when the schedule that holds began to; checkpoints from before schedules have none.
    #[serde(default)]
    pub scheduled_at: u64,
}

/// The factor on the rate of a pass over history after `stale` passes in a row that improved nothing: each halves it, as
/// steps too large to settle are the usual reason. New rows, a growth or an improvement bring the whole rate back.
pub fn plateau_factor(stale: u32) -> f64 {
    0.5f64.powi(stale.min(20) as i32)
}

impl Default for Rates {
    fn default() -> Self {
        Self { set_back_factor: 1.0, grown_at: None, scheduled_at: 0 }
    }
}

impl Rates {
    /// The rate of every step from here to the next growth, set-back or change of settings.
    ///
    /// The first step after a growth has `growth_lr_factor` of the configured rate (Net2Net, appendix A); from there it
    /// rises linearly and is back after `growth_warmup` steps. Only the last growth counts. What was born in a growth, or
    /// got empty moments later, is warmed up the same way by its own age: new inputs and classes come up slowly without
    /// slowing down the others.
    pub fn rate(&self, settings: &TrainingSettings) -> Rate {
        Rate {
            base: settings.learning_rate * self.set_back_factor,
            warmup: Warmup { factor: settings.growth_lr_factor, steps: settings.growth_warmup },
            restarted: self.grown_at,
            decay: settings.weight_decay,
            schedule: Scheduled { schedule: settings.schedule, begun: self.scheduled_at },
        }
    }

    /// Another schedule holds after `step` steps: it begins at its first step, however old the learner is.
    pub fn scheduled(&mut self, step: u64) {
        self.scheduled_at = step;
    }

    /// A growth was committed after `step` steps: the warm-up starts again. It never compounds with an earlier one.
    pub fn grown(&mut self, step: u64) {
        self.grown_at = Some(step);
    }

    /// Training was set back.
    pub fn set_back(&mut self) {
        // A power of two, so that its decimal form in a checkpoint is exact; it stops long before it would be zero.
        self.set_back_factor = (self.set_back_factor * 0.5).max(SMALLEST_FACTOR);
    }
}

/// Twenty set-backs: 2⁻²⁰.
const SMALLEST_FACTOR: f64 = 1.0 / 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::optimizer::Schedule;

    fn settings() -> TrainingSettings {
        TrainingSettings { learning_rate: 0.01, growth_lr_factor: 0.1, growth_warmup: 100, ..Default::default() }
    }

    #[test]
    fn the_rate_restarts_at_a_growth_and_is_back_after_the_warmup() {
        let (settings, mut rates) = (settings(), Rates::default());
        assert_eq!(rates.rate(&settings).at(1, 0), 0.01);
        rates.grown(500);
        assert!((rates.rate(&settings).at(501, 0) - 0.001).abs() < 1e-12);
        assert!((rates.rate(&settings).at(551, 0) - 0.0055).abs() < 1e-12);
        assert_eq!(rates.rate(&settings).at(601, 0), 0.01);
        assert_eq!(rates.rate(&settings).at(9_000, 0), 0.01);
    }

    #[test]
    fn two_growths_in_a_row_do_not_compound() {
        let (settings, mut rates) = (settings(), Rates::default());
        rates.grown(500);
        rates.grown(510);
        assert!((rates.rate(&settings).at(511, 0) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn new_classes_come_up_by_themselves_and_do_not_compound_with_a_growth() {
        let (settings, mut rates) = (settings(), Rates::default());
        let before = rates.rate(&settings);
        assert!((before.at(501, 500) - 0.001).abs() < 1e-12);
        assert_eq!(before.at(501, 0), 0.01);
        rates.grown(500);
        let after = rates.rate(&settings);
        assert_eq!([after.at(501, 500), after.at(501, 0)], [before.at(501, 500); 2]);
    }

    #[test]
    fn set_backs_halve_the_rate_and_never_end_it() {
        let (settings, mut rates) = (settings(), Rates::default());
        rates.set_back();
        assert_eq!(rates.rate(&settings).at(1, 0), 0.005);
        (0..2_000).for_each(|_| rates.set_back());
        assert!(rates.rate(&settings).at(1, 0) > 0.0);
    }

    #[test]
    fn every_stale_pass_halves_the_rate_of_the_next() {
        assert_eq!([0, 1, 2].map(plateau_factor), [1.0, 0.5, 0.25]);
        assert!(plateau_factor(u32::MAX) > 0.0);
    }

    #[test]
    fn a_schedule_counts_from_its_own_beginning_and_multiplies_what_else_there_is() {
        let schedule = Schedule::Wsd { warmup: 1, stable: 2, decay: 2, floor: 0.5 };
        let (settings, mut rates) = (TrainingSettings { schedule, ..settings() }, Rates::default());
        rates.scheduled(1_000);
        rates.set_back();
        let rate = rates.rate(&settings);
        assert_eq!(
            [1_001, 1_002, 1_003, 1_004, 1_005].map(|step| rate.at(step, 0) / 0.005),
            [0.5, 1.0, 1.0, 0.75, 0.5]
        );
        rates.grown(2_000);
        let grown = rates.rate(&settings);
        assert!((grown.at(2_001, 0) - 0.1 * 0.005).abs() < 1e-12, "stable again, and warmed up by the growth");
        assert!((grown.at(2_101, 0) - 0.5 * 0.005).abs() < 1e-12, "warmed up, and on the floor");
    }

    #[test]
    fn rates_from_before_schedules_read_back() {
        let old = serde_json::json!({"set_back_factor": 0.5, "grown_at": 7});
        let rates: Rates = serde_json::from_value(old).unwrap();
        assert_eq!(rates, Rates { set_back_factor: 0.5, grown_at: Some(7), scheduled_at: 0 });
    }

    #[test]
    fn without_a_warmup_the_rate_stays() {
        let mut rates = Rates::default();
        rates.grown(10);
        assert_eq!(rates.rate(&TrainingSettings { growth_warmup: 0, ..settings() }).at(11, 10), 0.01);
    }
}
