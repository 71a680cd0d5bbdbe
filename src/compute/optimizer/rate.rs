//! How far a step goes: the base rate, its schedule, the warm-up after a growth, decoupled weight decay.
//!
//! Invariant: an element's rate is a function of the step's number and the element's birth, so it needs no state of its
//! own. Whoever steps an [`Optimizer`](super::Optimizer) says with a [`Rate`] how far.

use super::schedule::Scheduled;

/// The rate of one parameter, for all of its elements and for any number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The step size of what is warm.
    pub base: f64,
    /// How everything that has just begun comes up to it.
    pub warmup: Warmup,
    /// How many steps were done when the warm-up of every element last began anew; `None` if it never did.
    pub restarted: Option<u64>,
    /// Decoupled weight decay (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"): each step also takes
    /// this share × the element's own rate from the element. It enters no gradient and no moment, so every element loses
    /// the same share of itself: the copies of a split weight sum to what their source would be, and zero stays zero.
    pub decay: f64,
    /// What of the base rate is taken as training goes on.
    pub schedule: Scheduled,
}

/// A linear warm-up: the first step has `factor` of the base rate, and `steps` steps later it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// Above 0 and up to 1.
    pub factor: f64,
    /// 0: the first step is whole.
    pub steps: u64,
}

impl Warmup {
    /// No warm-up.
    pub const NONE: Self = Self { factor: 1.0, steps: 0 };

    /// The share of the base rate at the step number `age` (the first is 1) since the beginning.
    fn share(&self, age: u64) -> f64 {
        let since = age.saturating_sub(1);
        if since >= self.steps {
            return 1.0;
        }
        self.factor + (1.0 - self.factor) * (since as f64 / self.steps as f64)
    }
}

impl Rate {
    /// The same rate for every element at every step, without decay.
    pub const fn constant(base: f64) -> Self {
        Self { base, warmup: Warmup::NONE, restarted: None, decay: 0.0, schedule: Scheduled::CONSTANT }
    }

    /// The rate at step number `step` (the first is 1) of what was born after `birth` steps.
    ///
    /// What was there from the start (birth 0) has no warm-up but that of a restart. What was born later has one of its
    /// own, with the same ramp; where both are under way the lower one holds, which is the one that began later. So they
    /// never compound.
    pub fn at(&self, step: u64, birth: u64) -> f64 {
        let own = (birth > 0).then_some(birth);
        let base = self.base * self.schedule.share(step, self.restarted);
        self.restarted.max(own).map_or(base, |begun| base * self.warmup.share(age(step, begun)))
    }
}

/// How many steps there have been since `begun`, number `step` included.
pub(super) fn age(step: u64, begun: u64) -> u64 {
    step.saturating_sub(begun).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate =
        Rate { warmup: Warmup { factor: 0.1, steps: 100 }, restarted: Some(500), ..Rate::constant(0.01) };

    fn close(rate: f64, expected: f64) -> bool {
        (rate - expected).abs() < 1e-12
    }

    #[test]
    fn what_is_born_later_comes_up_by_its_own_age() {
        let calm = Rate { restarted: None, ..RATE };
        assert!(close(calm.at(801, 800), 0.001) && close(calm.at(851, 800), 0.0055));
        assert_eq!([calm.at(901, 800), calm.at(9_000, 800), calm.at(1, 0), calm.at(801, 0)], [0.01; 4]);
    }

    #[test]
    fn a_restart_holds_for_every_element_and_counts_once() {
        assert!(close(RATE.at(501, 0), 0.001) && close(RATE.at(551, 0), 0.0055));
        assert_eq!([RATE.at(501, 500), RATE.at(551, 500)], [RATE.at(501, 0), RATE.at(551, 0)]);
        assert_eq!(RATE.at(601, 0), 0.01);
    }

    #[test]
    fn without_a_warmup_every_step_is_whole() {
        assert_eq!(Rate { warmup: Warmup::NONE, ..RATE }.at(501, 500), 0.01);
        assert_eq!(Rate { warmup: Warmup { steps: 0, ..RATE.warmup }, ..RATE }.at(501, 500), 0.01);
        assert_eq!(Rate::constant(0.01).at(7, 3), 0.01);
    }

    proptest! {
        #[test]
        fn of_two_warmups_the_lower_holds(
            step in 1u64..60, births in (0u64..40, 0u64..40), steps in 0u64..30, factor in 0.01f64..1.0,
        ) {
            let (restarted, birth) = births;
            let warmup = Warmup { factor, steps };
            let only = |restarted| Rate { warmup, restarted, ..Rate::constant(0.3) };
            prop_assume!(restarted < step && birth < step);
            let both = only(Some(restarted)).at(step, birth);
            prop_assert_eq!(both, only(Some(restarted)).at(step, 0).min(only(None).at(step, birth)));
            prop_assert!(both >= 0.3 * factor * 0.999_999 && both <= 0.3);
        }
    }
}
