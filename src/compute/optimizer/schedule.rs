//! Learning-rate schedules: what share of the base rate a step takes as training goes on.
//!
//! A function of the step's number and of two others that were noted when they came about, never of a clock: the same
//! journal gives the same rates. A learner never ends, so no schedule ends at 0, and a growth brings the whole rate back.

use serde::{Deserialize, Serialize};

use super::rate::age;

/// How the rate moves. In documents: `"constant"`, or an object with `kind` and the counts of steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Document", into = "Document")]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// It rises evenly over so many steps; the one after them is the first whole one.
    Warmup { steps: u64 },
    /// Warm-up, stable, decay (Hu et al. 2024, "MiniCPM", §4): it rises as in a warm-up, is whole for `stable` steps, falls
    /// evenly over `decay` steps to `floor`, and stays there until a growth makes it stable again.
    Wsd { warmup: u64, stable: u64, decay: u64, floor: f64 },
}

/// A schedule that holds since some step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scheduled {
    /// Which.
    pub schedule: Schedule,
    /// How many steps were done when it began to hold.
    pub begun: u64,
}

impl Schedule {
    /// Whether its numbers make sense; says what is wrong with those that do not.
    pub fn check(&self) -> Result<(), &'static str> {
        match *self {
            Self::Wsd { floor, .. } if !(floor > 0.0 && floor <= 1.0) => Err("`floor` is a number above 0 and up to 1"),
            _ => Ok(()),
        }
    }
}

impl Scheduled {
    /// The whole rate at every step.
    pub const CONSTANT: Self = Self { schedule: Schedule::Constant, begun: 0 };

    /// The share of the base rate at step number `step` (the first is 1), where the network last grew after `grown` steps.
    pub fn share(&self, step: u64, grown: Option<u64>) -> f64 {
        let since = age(step, self.begun);
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Warmup { steps } => rising(since, steps),
            Schedule::Wsd { warmup, stable, decay, floor } => {
                let whole = match grown.filter(|&grown| grown >= self.begun) {
                    // The growth has a warm-up of its own, of which the rate takes care.
                    Some(grown) => age(step, grown),
                    None if since <= warmup => return rising(since, warmup),
                    None => since - warmup,
                };
                match whole.saturating_sub(stable) {
                    0 => 1.0,
                    falling if falling < decay => 1.0 - (1.0 - floor) * (falling as f64 / decay as f64),
                    _ => floor,
                }
            }
        }
    }
}

/// The share of step `since` of so many that rise.
fn rising(since: u64, steps: u64) -> f64 {
    if since > steps { 1.0 } else { since as f64 / (steps as f64 + 1.0) }
}

/// A schedule as documents have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Document {
    Named(Name),
    Full(Full),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Constant,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
enum Full {
    Constant {},
    Warmup { steps: u64 },
    Wsd { warmup: u64, stable: u64, decay: u64, floor: f64 },
}

impl From<Document> for Schedule {
    fn from(document: Document) -> Self {
        match document {
            Document::Named(Name::Constant) | Document::Full(Full::Constant {}) => Self::Constant,
            Document::Full(Full::Warmup { steps }) => Self::Warmup { steps },
            Document::Full(Full::Wsd { warmup, stable, decay, floor }) => Self::Wsd { warmup, stable, decay, floor },
        }
    }
}

impl From<Schedule> for Document {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Constant => Self::Named(Name::Constant),
            Schedule::Warmup { steps } => Self::Full(Full::Warmup { steps }),
            Schedule::Wsd { warmup, stable, decay, floor } => Self::Full(Full::Wsd { warmup, stable, decay, floor }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WSD: Schedule = Schedule::Wsd { warmup: 3, stable: 5, decay: 4, floor: 0.2 };

    fn shares(scheduled: Scheduled, steps: std::ops::RangeInclusive<u64>, grown: Option<u64>) -> Vec<f64> {
        // Fifteen decimal places are those that the shares have when they are written down.
        steps.map(|step| (scheduled.share(step, grown) * 1e15).round() / 1e15).collect()
    }

    fn from_the_start(schedule: Schedule) -> Scheduled {
        Scheduled { schedule, begun: 0 }
    }

    #[test]
    fn a_constant_rate_is_whole_at_every_step() {
        assert_eq!(shares(Scheduled::CONSTANT, 1..=3, Some(2)), [1.0; 3]);
        assert_eq!(Scheduled::CONSTANT.share(u64::MAX, None), 1.0);
    }

    #[test]
    fn a_warmup_rises_evenly_to_the_first_whole_step() {
        let warmup = from_the_start(Schedule::Warmup { steps: 3 });
        assert_eq!(shares(warmup, 1..=6, None), [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(shares(from_the_start(Schedule::Warmup { steps: 0 }), 1..=2, None), [1.0; 2]);
    }

    #[test]
    fn wsd_rises_stays_falls_and_rests_on_its_floor() {
        let expected = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2];
        assert_eq!(shares(from_the_start(WSD), 1..=14, None), expected);
        assert_eq!(from_the_start(WSD).share(u64::MAX, None), 0.2);
    }

    #[test]
    fn a_growth_makes_wsd_stable_again_without_its_warmup() {
        let expected = [1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2];
        assert_eq!(shares(from_the_start(WSD), 101..=110, Some(100)), expected);
    }

    #[test]
    fn a_schedule_counts_from_where_it_began_to_hold() {
        let late = Scheduled { schedule: WSD, begun: 1_000 };
        for grown in [None, Some(900)] {
            assert_eq!(shares(late, 1_001..=1_014, grown), shares(from_the_start(WSD), 1..=14, None));
        }
    }

    #[test]
    fn phases_without_steps_are_left_out() {
        let none = Schedule::Wsd { warmup: 0, stable: 0, decay: 0, floor: 0.5 };
        assert_eq!(shares(from_the_start(none), 1..=3, None), [0.5; 3]);
        let endless = Schedule::Wsd { warmup: u64::MAX, stable: u64::MAX, decay: u64::MAX, floor: 0.5 };
        assert!(from_the_start(endless).share(u64::MAX, None) <= 1.0);
    }

    #[test]
    fn a_floor_is_a_share_above_zero() {
        let with_floor = |floor| Schedule::Wsd { warmup: 1, stable: 1, decay: 1, floor };
        assert_eq!(WSD.check().and(with_floor(1.0).check()).and(Schedule::Constant.check()), Ok(()));
        assert!([0.0, -0.1, 1.1, f64::NAN].iter().all(|&floor| with_floor(floor).check().is_err()));
    }

    #[test]
    fn documents_read_back_and_unknown_ones_are_refused() {
        for (schedule, text) in [
            (Schedule::Constant, r#""constant""#),
            (Schedule::Warmup { steps: 7 }, r#"{"kind":"warmup","steps":7}"#),
            (WSD, r#"{"kind":"wsd","warmup":3,"stable":5,"decay":4,"floor":0.2}"#),
        ] {
            assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
            assert_eq!(serde_json::from_str::<Schedule>(text).unwrap(), schedule);
        }
        assert_eq!(serde_json::from_str::<Schedule>(r#"{"kind":"constant"}"#).unwrap(), Schedule::Constant);
        for text in [
            r#""cosine""#,
            r#"{"kind":"wsd"}"#,
            r#"{"kind":"warmup","steps":-1}"#,
            r#"{"kind":"warmup","steps":1,"to":2}"#,
        ] {
            assert!(serde_json::from_str::<Schedule>(text).is_err(), "{text}");
        }
    }
}
