//! The gate: whether a candidate may become `live`.
//!
//! What it is compared with, "live" below, is the version that the trainer accepted last: an operator who moves or pins the
//! alias changes nothing here.
//!
//! A pure function of two evaluations on the same rows. Called by the trainer every `publish_rows` rows and before a
//! grown network goes live.

use super::evaluation::{Evaluation, RowScore};
use super::journal::GateOutcome;

/// Fewer rows than this prove nothing.
const FEWEST_ROWS: usize = 30;

/// The practical margin: a mean loss worse than live's by less than this share of it does not matter.
const MARGIN: f64 = 0.02;

/// A row counts with this loss at most: a handful of rows with enormous losses would otherwise make the standard error so
/// large that a candidate many times worse than live is not *significantly* worse.
const WORST_LOSS: f64 = 10.0;

/// One-sided 95 % of the normal distribution; the t distribution of 29 and more degrees of freedom is close to it.
const QUANTILE: f64 = 1.645;

/// Measures a candidate against the live version on the same holdout rows, paired row by row.
///
/// "Worse" is: the mean difference of the losses exceeds the margin by more than 1.645 of its standard errors, so a
/// candidate is refused only if it is, at about 95 % confidence, worse by more than 2 % of live's mean loss. Losses
/// above [`WORST_LOSS`] count as that. A candidate
/// with a non-finite loss is refused always; against a live version with one, any finite candidate passes.
pub fn judge(candidate: &Evaluation, live: &Evaluation) -> GateOutcome {
    let rows = candidate.rows().min(live.rows());
    let (candidate_loss, live_loss) = (candidate.mean_loss(), live.mean_loss());
    let outcome = |passed: bool, reason: String| GateOutcome {
        passed,
        reason,
        rows,
        candidate_loss: candidate_loss.filter(|loss| loss.is_finite()),
        live_loss: live_loss.filter(|loss| loss.is_finite()),
    };
    let (Some(candidate_mean), Some(live_mean)) = (candidate_loss, live_loss) else {
        return outcome(true, "there are no holdout rows yet, so nothing speaks against it".into());
    };
    if !candidate_mean.is_finite() {
        return outcome(false, format!("the loss on {rows} holdout rows is not finite"));
    }
    if !live_mean.is_finite() {
        return outcome(true, format!("the live version's loss on {rows} holdout rows is not finite"));
    }
    if rows < FEWEST_ROWS {
        return outcome(true, format!("only {rows} holdout rows, fewer than the {FEWEST_ROWS} that a test needs"));
    }
    let (mean, error) = paired(candidate, live, rows);
    let margin = MARGIN * live_mean.clamp(0.0, WORST_LOSS);
    let worse = mean - margin > QUANTILE * error;
    let numbers = format!(
        "mean loss {candidate_mean:.4} against {live_mean:.4} on {rows} holdout rows: difference {mean:+.4} with \
         standard error {error:.4} and margin {margin:.4}"
    );
    outcome(!worse, format!("{}; {numbers}", if worse { "significantly worse" } else { "not significantly worse" }))
}

impl GateOutcome {
    /// Whether the candidate is better than the live version, as far as the holdout can tell.
    pub fn improves(&self) -> bool {
        match (self.candidate_loss, self.live_loss) {
            (Some(candidate), Some(live)) => self.rows < FEWEST_ROWS || candidate < live,
            _ => true,
        }
    }
}

/// Mean of the row-wise differences (candidate − live) of capped losses, and its standard error.
fn paired(candidate: &Evaluation, live: &Evaluation, rows: usize) -> (f64, f64) {
    let capped = |score: &RowScore| score.loss.min(WORST_LOSS);
    let differences = || candidate.scores.iter().zip(&live.scores).map(|(ours, theirs)| capped(ours) - capped(theirs));
    let count = rows as f64;
    let mean = differences().sum::<f64>() / count;
    let squares = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::Answer;
    use super::*;

    fn evaluation(losses: impl IntoIterator<Item = f64>) -> Evaluation {
        let score = |loss| RowScore { loss, answer: Answer::Class { index: 0, confidence: 1.0, correct: true } };
        Evaluation { scores: losses.into_iter().map(score).collect() }
    }

    /// Row losses that differ much between rows, as real ones do.
    fn uneven(row: usize) -> f64 {
        if row.is_multiple_of(10) { 3.0 } else { 0.1 }
    }

    #[test]
    fn a_clearly_worse_candidate_is_refused() {
        let live = evaluation((0..200).map(uneven));
        let candidate = evaluation((0..200).map(|row| uneven(row) + 0.2));
        let outcome = judge(&candidate, &live);
        assert!(!outcome.passed, "{}", outcome.reason);
        assert!((outcome.candidate_loss.unwrap() - outcome.live_loss.unwrap() - 0.2).abs() < 1e-9);
    }

    #[test]
    fn enormous_losses_on_a_few_rows_do_not_hide_that_a_candidate_is_worse() {
        let live = evaluation((0..200).map(|_| 0.04));
        let diverged = |row: usize| match row {
            0 => 3_000.0,
            _ if row.is_multiple_of(12) => 40.0,
            _ => 0.0,
        };
        let outcome = judge(&evaluation((0..200).map(diverged)), &live);
        assert!(!outcome.passed, "{}", outcome.reason);
    }

    #[test]
    fn a_difference_within_the_margin_passes_however_certain() {
        let live = evaluation((0..2_000).map(|_| 1.0));
        assert!(judge(&evaluation((0..2_000).map(|_| 1.015)), &live).passed);
        assert!(!judge(&evaluation((0..2_000).map(|_| 1.03)), &live).passed);
    }

    #[test]
    fn a_difference_within_the_noise_passes() {
        let live = evaluation((0..40).map(|_| 1.0));
        let candidate = evaluation((0..40).map(|row| if row % 2 == 0 { 2.1 } else { 0.0 }));
        assert!(judge(&candidate, &live).passed);
    }

    #[test]
    fn a_better_candidate_passes() {
        let live = evaluation((0..200).map(uneven));
        assert!(judge(&evaluation((0..200).map(|row| uneven(row) * 0.5)), &live).passed);
    }

    #[test]
    fn few_rows_pass_and_say_so() {
        let outcome = judge(&evaluation([9.0; 29]), &evaluation([0.1; 29]));
        assert!(outcome.passed && outcome.reason.contains("only 29 holdout rows"));
        assert!(judge(&evaluation([]), &evaluation([])).passed);
    }

    #[test]
    fn a_loss_that_is_not_finite_never_passes() {
        for rows in [1, 29, 100] {
            let mut losses = vec![0.1; rows];
            losses[0] = f64::NAN;
            let outcome = judge(&evaluation(losses), &evaluation(vec![0.1; rows]));
            assert!(!outcome.passed);
            assert_eq!(outcome.candidate_loss, None);
        }
        assert!(judge(&evaluation([0.1; 50]), &evaluation([f64::INFINITY; 50])).passed);
    }
}
