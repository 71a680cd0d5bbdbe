//! One step over plain numbers, in one pass: gradient, moments, decay, parameter and average, in place.
//!
//! Invariant: numbers that are finite stay finite, and an element's next value depends on nothing but its own numbers and
//! its [`Constants`]. So a run may be cut anywhere, for threads or for caches, and the bits are the same. Used by the CPU
//! engine over its arenas and by [`super::Optimizer::step`] over tensors on the CPU; [`super::tensors`] does the same elsewhere.

use super::rate::age;
use super::{Optimizer, Rate};
use crate::compute::vectors::{Loop, widest};

/// Elements that are stepped and then averaged: their five arrays together stay in a core's first cache.
const BLOCK: usize = 1 << 10;

/// What a step has in common for all elements of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The number of the step; the first is 1.
    pub number: u64,
    /// How far it goes.
    pub rate: Rate,
    /// Whether the rate's decay is taken from this parameter.
    pub decays: Decays,
    /// By what every gradient is multiplied ([`super::clip_factor`]): above 0 and up to 1.
    pub clip: f32,
    /// What an average keeps of itself in a step, at least 0 and below 1: an exponential moving average of the weights
    /// (after Polyak and Juditsky 1992). Young elements keep less, (1 + age) / (10 + age) at most, so that an average soon
    /// follows what has just been born. 0 where none is kept: [`Optimizer::step`] leaves one that is there as it is.
    pub average_decay: f64,
}

/// Whether weight decay is taken from a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decays {
    /// It weighs channels against each other.
    Yes,
    /// It only shifts or scales them.
    No,
}

/// A step that cannot be done with finite numbers. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsteppable {
    /// The rate of an element, with its bias correction, is not finite in f32 or negative.
    #[error("the learning rate is not a number that f32 can hold")]
    Rate,
    /// Decay would take more than all of an element.
    #[error("weight decay takes more than the whole weight in a step")]
    Decay,
    /// The clip factor is outside of its range.
    #[error("the clip factor is not above 0 and up to 1")]
    Clip,
    /// The average's share is outside of its range.
    #[error("an average keeps a share of itself that is at least 0 and below 1")]
    Average,
}

/// The numbers of one run of elements that were born together.
#[derive(Debug)]
pub struct Run<'a> {
    /// The elements.
    pub parameter: &'a mut [f32],
    /// As many, each at most [`super::LARGEST_GRADIENT`] in size.
    pub gradient: &'a [f32],
    /// As many, or none where the optimizer has no first moments.
    pub first: &'a mut [f32],
    /// As many, or none where the optimizer has no second moments; at least 0.
    pub second: &'a mut [f32],
    /// As many, or none where no average is kept.
    pub average: &'a mut [f32],
}

/// What every element of a run shares in a step, worked out once in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constants {
    rule: Rule,
    clip: f32,
    /// The share of an element that decay takes from it.
    decay: f32,
    /// The share of its distance from the element that the average goes.
    follow: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Sgd {
        momentum: f32,
        rate: f32,
    },
    RmsProp {
        /// The share of the mean of squares that stays.
        keep: f32,
        rest: f32,
        epsilon: f32,
        rate: f32,
        /// The square root of the second moment's bias correction.
        root: f32,
    },
    Adam {
        beta1: f32,
        rest1: f32,
        beta2: f32,
        rest2: f32,
        epsilon: f32,
        /// The learning rate with the first moment's bias correction.
        rate: f32,
        /// The square root of the second moment's bias correction.
        root: f32,
    },
}

impl Terms {
    /// Step `number` at this rate, with decay, without clipping; averages stay as they are.
    pub fn plain(number: u64, rate: Rate) -> Self {
        Self { number, rate, decays: Decays::Yes, clip: 1.0, average_decay: 0.0 }
    }

    /// The share of its distance from an element of this birth that an average goes in the step.
    pub(super) fn follow(&self, birth: u64) -> f64 {
        let age = age(self.number, birth);
        1.0 - self.average_decay.min((1 + age) as f64 / (10 + age) as f64)
    }
}

impl Optimizer {
    /// What the elements that were born after `birth` steps share in a step.
    ///
    /// # Errors
    /// Terms with which numbers would not stay finite.
    pub fn constants(&self, terms: &Terms, birth: u64) -> Result<Constants, Unsteppable> {
        let (rate, age) = (terms.rate.at(terms.number, birth), age(terms.number, birth));
        let rule = self.rule(rate, age);
        if !(rule.rate() >= 0.0 && rule.rate().is_finite()) {
            return Err(Unsteppable::Rate);
        }
        let decay = match terms.decays {
            Decays::Yes => (rate * terms.rate.decay) as f32,
            Decays::No => 0.0,
        };
        if !(0.0..=1.0).contains(&decay) {
            return Err(Unsteppable::Decay);
        }
        if !(terms.clip > 0.0 && terms.clip <= 1.0) {
            return Err(Unsteppable::Clip);
        }
        if !(0.0..1.0).contains(&terms.average_decay) {
            return Err(Unsteppable::Average);
        }
        Ok(Constants { rule, clip: terms.clip, decay, follow: terms.follow(birth) as f32 })
    }

    fn rule(&self, rate: f64, age: u64) -> Rule {
        match *self {
            Self::Sgd { momentum } => Rule::Sgd { momentum: momentum as f32, rate: rate as f32 },
            Self::RmsProp { decay, epsilon } => Rule::RmsProp {
                keep: decay as f32,
                rest: (1.0 - decay) as f32,
                epsilon: epsilon as f32,
                rate: rate as f32,
                root: correction(decay, age).sqrt() as f32,
            },
            Self::Adam { beta1, beta2, epsilon } => Rule::Adam {
                beta1: beta1 as f32,
                rest1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                rest2: (1.0 - beta2) as f32,
                epsilon: epsilon as f32,
                rate: (rate * correction(beta1, age)) as f32,
                root: correction(beta2, age).sqrt() as f32,
            },
        }
    }
}

impl Rule {
    fn rate(&self) -> f32 {
        match *self {
            Self::Sgd { rate, .. } | Self::RmsProp { rate, .. } | Self::Adam { rate, .. } => rate,
        }
    }

    /// Whether it has first and second moments.
    fn moments(&self) -> (bool, bool) {
        match self {
            Self::Sgd { .. } => (true, false),
            Self::RmsProp { .. } => (false, true),
            Self::Adam { .. } => (true, true),
        }
    }
}

impl Constants {
    /// Steps a run. Where a parameter would become infinite it stays at ±`f32::MAX`, and so does an average.
    ///
    /// # Panics
    /// Slices that are not as long as the parameter, or moments of another optimizer.
    pub fn step(&self, run: Run<'_>) {
        let (count, (first, second)) = (run.parameter.len(), self.rule.moments());
        assert_eq!(run.gradient.len(), count, "a gradient for every element");
        assert_eq!(run.first.len(), if first { count } else { 0 }, "first moments as the optimizer has them");
        assert_eq!(run.second.len(), if second { count } else { 0 }, "second moments as the optimizer has them");
        assert!(run.average.is_empty() || run.average.len() == count, "an average for every element or for none");
        widest(Stepping { constants: *self, run });
    }
}

struct Stepping<'a> {
    constants: Constants,
    run: Run<'a>,
}

impl Loop for Stepping<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { constants, run } = self;
        let count = run.parameter.len();
        for start in (0..count).step_by(BLOCK) {
            let block = start..count.min(start + BLOCK);
            let (parameter, gradient) = (&mut run.parameter[block.clone()], &run.gradient[block.clone()]);
            match constants.rule {
                Rule::Sgd { momentum, rate } => {
                    for ((parameter, gradient), velocity) in
                        parameter.iter_mut().zip(gradient).zip(&mut run.first[block.clone()])
                    {
                        *velocity = momentum * *velocity + constants.clip * gradient;
                        *parameter = constants.moved(*parameter, rate * *velocity);
                    }
                }
                Rule::RmsProp { keep, rest, epsilon, rate, root } => {
                    for ((parameter, gradient), square) in
                        parameter.iter_mut().zip(gradient).zip(&mut run.second[block.clone()])
                    {
                        let gradient = constants.clip * gradient;
                        *square = keep * *square + rest * gradient * gradient;
                        *parameter = constants.moved(*parameter, rate * gradient / (square.sqrt() * root + epsilon));
                    }
                }
                Rule::Adam { beta1, rest1, beta2, rest2, epsilon, rate, root } => {
                    let means = run.first[block.clone()].iter_mut().zip(&mut run.second[block.clone()]);
                    for ((parameter, gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(means) {
                        let gradient = constants.clip * gradient;
                        *first = beta1 * *first + rest1 * gradient;
                        *second = beta2 * *second + rest2 * gradient * gradient;
                        *parameter = constants.moved(*parameter, rate * *first / (second.sqrt() * root + epsilon));
                    }
                }
            }
            if !run.average.is_empty() {
                for (average, parameter) in run.average[block].iter_mut().zip(&*parameter) {
                    // Not the sum of two shares: they would not add up to 1 in f32, and the average of what stands still
                    // would settle beside it.
                    *average = bounded(*average + constants.follow * (parameter - *average));
                }
            }
        }
    }
}

impl Constants {
    /// An element after decay and this step.
    #[inline(always)]
    fn moved(&self, parameter: f32, step: f32) -> f32 {
        bounded(parameter - (self.decay * parameter + step))
    }
}

/// The largest finite numbers instead of infinite ones: what is updated in place cannot be taken back.
#[inline(always)]
fn bounded(number: f32) -> f32 {
    number.clamp(-f32::MAX, f32::MAX)
}

/// 1 / (1 - decay^age): what turns a mean that began at zero into one without bias (Kingma and Ba 2015, §3).
pub(super) fn correction(decay: f64, age: u64) -> f64 {
    1.0 / (1.0 - power(decay, age))
}

/// By repeated squaring: the standard library's `powi` promises neither precision nor the same bits everywhere.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}
