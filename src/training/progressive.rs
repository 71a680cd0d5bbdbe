//! Progressive validation: every example is predicted before it is learned, and the answers are counted.
//!
//! Bounded memory (marginals per class, a window of 1,000 rows), deterministic, and part of the checkpoint bit for bit:
//! floating-point numbers are stored by their bits. Called by the trainer, once a row, in order.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::evaluation::{Answer, RowScore};
use super::exact::Exact;
use super::status::LearnerMetrics;
use crate::stream::{Label, Targets};

/// The newest rows that the recent figures are of.
const WINDOW: usize = 1_000;

/// Bins of the calibration error, by confidence.
const BINS: usize = 10;

/// What was counted: losses of regression are squared errors in the targets' own units.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progressive {
    rows: u64,
    recent: VecDeque<RecentRow>,
    classes: ClassCounts,
    numbers: NumberCounts,
}

/// A row of the window: its loss, and whether it was answered right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct RecentRow(Exact, bool);

/// The counts of classification.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct ClassCounts {
    right: u64,
    marginals: BTreeMap<String, Marginal>,
    majority: Option<String>,
    majority_right: u64,
    last: Option<String>,
    last_right: u64,
    bins: [Bin; BINS],
}

/// How often a class was the truth and how often the answer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Marginal {
    truth: u64,
    answered: u64,
}

/// The answers of one range of confidence.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Bin {
    rows: u64,
    right: u64,
    confidence: Exact,
}

/// The counts of regression: baselines are judged from the second row on, the first has nothing to answer with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct NumberCounts {
    rows: u64,
    mean: Exact,
    last: Exact,
    mean_error: Exact,
    last_error: Exact,
}

impl Progressive {
    /// Takes the score of the next row, with the targets of the model that gave it.
    pub fn observe(&mut self, targets: &Targets, label: &Label, score: &RowScore) {
        self.rows += 1;
        let recent = match (label, score.answer) {
            (Label::Class(truth), Answer::Class { index, confidence, correct }) => {
                let answered = match targets {
                    Targets::Classes { classes } => classes.get(index).map(String::as_str),
                    Targets::Number { .. } => None,
                };
                self.classes.observe(truth, answered, confidence, correct);
                RecentRow(Exact(score.loss), correct)
            }
            (Label::Number(truth), Answer::Number { value }) => {
                self.numbers.observe(*truth);
                RecentRow(Exact((value - truth).powi(2)), false)
            }
            // The task fixes the kind of both label and answer, so a mixture is no row of this learner.
            _ => return,
        };
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// The fields of [`LearnerMetrics`] that progressive validation knows; the others stay at their defaults.
    pub fn metrics(&self) -> LearnerMetrics {
        let newest = self.recent.len() as f64;
        let share = |sum: f64, of: f64| (of > 0.0).then(|| sum / of);
        let mut metrics = LearnerMetrics {
            progressive_rows: self.rows,
            progressive_loss: share(self.recent.iter().map(|row| row.0.0).sum(), newest),
            ..LearnerMetrics::default()
        };
        if self.numbers.rows > 0 {
            let judged = (self.numbers.rows - 1) as f64;
            metrics.baseline_majority = share(self.numbers.mean_error.0, judged);
            metrics.baseline_last = share(self.numbers.last_error.0, judged);
            return metrics;
        }
        let rows = self.rows as f64;
        metrics.progressive_accuracy = share(self.classes.right as f64, rows);
        metrics.recent_accuracy = share(self.recent.iter().filter(|row| row.1).count() as f64, newest);
        metrics.baseline_majority = share(self.classes.majority_right as f64, rows);
        metrics.baseline_last = share(self.classes.last_right as f64, rows);
        metrics.calibration_error = share(self.classes.calibration_gap(), rows);
        if let (Some(accuracy), Some(last)) = (metrics.progressive_accuracy, metrics.baseline_last) {
            metrics.kappa = agreement_beyond(accuracy, self.classes.chance(rows));
            metrics.kappa_temporal = agreement_beyond(accuracy, last);
        }
        metrics
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl ClassCounts {
    fn observe(&mut self, truth: &str, answered: Option<&str>, confidence: f64, correct: bool) {
        self.right += u64::from(correct);
        self.majority_right += u64::from(self.majority.as_deref() == Some(truth));
        self.last_right += u64::from(self.last.as_deref() == Some(truth));
        self.last = Some(truth.to_owned());
        let truths = {
            let marginal = self.marginal(truth);
            marginal.truth += 1;
            marginal.truth
        };
        if let Some(answered) = answered {
            self.marginal(answered).answered += 1;
        }
        let most = self.majority.as_ref().and_then(|class| self.marginals.get(class)).map_or(0, |counts| counts.truth);
        if truths > most {
            self.majority = Some(truth.to_owned());
        }
        // A confidence of exactly 1, or NaN, falls into the last or first bin.
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.rows += 1;
        bin.right += u64::from(correct);
        bin.confidence.0 += if confidence.is_finite() { confidence } else { 0.0 };
    }

    fn marginal(&mut self, class: &str) -> &mut Marginal {
        if !self.marginals.contains_key(class) {
            self.marginals.insert(class.to_owned(), Marginal::default());
        }
        self.marginals.get_mut(class).expect("the class was inserted just above if it was not there")
    }

    /// The accuracy that the same answers would have by chance: Σ P(truth = c) P(answer = c).
    fn chance(&self, rows: f64) -> f64 {
        self.marginals.values().map(|counts| (counts.truth as f64 / rows) * (counts.answered as f64 / rows)).sum()
    }

    /// Expected calibration error (Guo et al. 2017) × rows: per bin |right answers − summed confidence|.
    fn calibration_gap(&self) -> f64 {
        self.bins.iter().map(|bin| (bin.right as f64 - bin.confidence.0).abs()).sum()
    }
}

impl NumberCounts {
    fn observe(&mut self, truth: f64) {
        if self.rows > 0 {
            self.mean_error.0 += (self.mean.0 - truth).powi(2);
            self.last_error.0 += (self.last.0 - truth).powi(2);
        }
        self.rows += 1;
        self.mean.0 += (truth - self.mean.0) / self.rows as f64;
        self.last = Exact(truth);
    }
}

/// Cohen's kappa against an accuracy of `reference`; `None` where that is perfect.
fn agreement_beyond(accuracy: f64, reference: f64) -> Option<f64> {
    (reference < 1.0).then(|| (accuracy - reference) / (1.0 - reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        Targets::Classes { classes: vec!["a".into(), "b".into()] }
    }

    fn observe(progressive: &mut Progressive, truth: &str, answered: usize, confidence: f64) {
        let correct = ["a", "b"].get(answered) == Some(&truth);
        let score = RowScore { loss: 0.5, answer: Answer::Class { index: answered, confidence, correct } };
        progressive.observe(&targets(), &Label::Class(truth.into()), &score);
    }

    fn close(one: Option<f64>, other: f64) -> bool {
        one.is_some_and(|one| (one - other).abs() < 1e-12)
    }

    #[test]
    fn accuracy_kappa_and_baselines_are_those_counted_by_hand() {
        let mut progressive = Progressive::default();
        // Truths a a b b a, answers a b b a a: 3 of 5 right.
        for (truth, answered) in [("a", 0), ("a", 1), ("b", 1), ("b", 0), ("a", 0)] {
            observe(&mut progressive, truth, answered, 0.75);
        }
        let metrics = progressive.metrics();
        assert_eq!(metrics.progressive_rows, 5);
        assert!(close(metrics.progressive_accuracy, 0.6));
        // Chance: 3/5 · 3/5 + 2/5 · 2/5 = 0.52.
        assert!(close(metrics.kappa, (0.6 - 0.52) / 0.48));
        // Last label: – a a b b against a a b b a: rows 2 and 4 right.
        assert!(close(metrics.baseline_last, 0.4));
        assert!(close(metrics.kappa_temporal, (0.6 - 0.4) / 0.6));
        // Majority: – a a a a (a leads throughout, a tie does not change it): rows 2 and 5 right.
        assert!(close(metrics.baseline_majority, 0.4));
        // All answers in one bin: |3 − 5 · 0.75| / 5.
        assert!(close(metrics.calibration_error, 0.15));
    }

    #[test]
    fn recent_accuracy_forgets_what_left_the_window() {
        let mut progressive = Progressive::default();
        (0..500).for_each(|_| observe(&mut progressive, "a", 1, 0.9));
        (0..1_000).for_each(|_| observe(&mut progressive, "a", 0, 0.9));
        let metrics = progressive.metrics();
        assert_eq!(metrics.recent_accuracy, Some(1.0));
        assert!(close(metrics.progressive_accuracy, 1_000.0 / 1_500.0));
        assert_eq!(progressive.recent.len(), WINDOW);
    }

    #[test]
    fn regression_is_measured_against_the_running_mean_and_the_last_value() {
        let mut progressive = Progressive::default();
        let targets = Targets::Number { count: 0, mean: 0.0, m2: 0.0 };
        for (truth, value) in [(1.0, 0.0), (3.0, 2.0), (5.0, 5.0)] {
            let score = RowScore { loss: 0.0, answer: Answer::Number { value } };
            progressive.observe(&targets, &Label::Number(truth), &score);
        }
        let metrics = progressive.metrics();
        // Errors 1, 1, 0; mean baseline: 1 for 3, 2 for 5; last: 1 for 3, 3 for 5.
        assert!(close(metrics.progressive_loss, 2.0 / 3.0));
        assert!(close(metrics.baseline_majority, (4.0 + 9.0) / 2.0));
        assert!(close(metrics.baseline_last, 4.0));
        assert_eq!((metrics.progressive_accuracy, metrics.kappa), (None, None));
    }

    #[test]
    fn a_class_without_an_output_counts_as_a_truth() {
        let mut progressive = Progressive::default();
        observe(&mut progressive, "unheard of", 0, 0.5);
        observe(&mut progressive, "unheard of", 0, 0.5);
        assert!(close(progressive.metrics().progressive_accuracy, 0.0));
        assert!(close(progressive.metrics().kappa, 0.0));
        assert!(close(progressive.metrics().baseline_majority, 0.5));
    }

    #[test]
    fn nothing_is_claimed_before_the_first_row() {
        assert_eq!(Progressive::default().metrics(), LearnerMetrics::default());
    }

    #[test]
    fn it_comes_back_from_a_checkpoint_bit_for_bit() {
        let mut progressive = Progressive::default();
        for row in 0..1_200u32 {
            observe(&mut progressive, if row % 3 == 0 { "b" } else { "a" }, row as usize % 2, 1.0 / f64::from(row + 1));
        }
        let value = serde_json::to_value(&progressive).unwrap();
        let stored = serde_json::to_string(&value).unwrap();
        let value: serde_json::Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(serde_json::from_value::<Progressive>(value).unwrap(), progressive);
    }
}
