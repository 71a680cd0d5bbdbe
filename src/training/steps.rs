//! The steps of an input under way: a round's or those of a part of a pass.
//!
//! Steps are done a few at a time, so that a turn can end between any two looks at the clock; how many at a time changes no
//! result. A step that meets a non-finite number is undone; three in a row set training back to the state before the input.
//!
//! No copy of that state is kept, since hardly any input ever asks for it: the trainer that needs one is loaded again from
//! its checkpoint and does the journal's inputs since then once more, as a restart does and to the same bits, and this time
//! it keeps a copy where the input begins.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::TrainingError;
use super::journal::JournalEvent;
use super::learned::Learned;
use super::rates::plateau_factor;
use super::replay::{RoundStep, step_rows};
use super::step::{Batch, StepOutcome, StepRule};
use super::trainer::Trainer;
use crate::compute::optimizer::Rate;
use crate::growth::State;
use crate::stream::{Seq, StoredExample};

/// Non-finite steps in a row after which training is set back.
const NONFINITE_PATIENCE: u32 = 3;
/// The most steps between two looks at the clock.
const MOST_STRIDE: usize = 16;
/// What the steps between two looks at the clock should take.
const STRIDE_TIME: Duration = Duration::from_millis(20);

/// An input under way.
pub(super) struct Work {
    /// Where it stands in the journal.
    pub position: u64,
    pub kind: WorkKind,
    /// Steps done and to do.
    pub done: usize,
    pub total: usize,
    /// What non-finite numbers set training back to.
    start: Start,
    loss: f64,
    rows: u64,
}

/// What is under way.
pub(super) enum WorkKind {
    /// Rows that are new.
    Round {
        first: Seq,
        last: Seq,
        /// Those that are learned.
        new: Vec<Seq>,
    },
    /// A part of a pass.
    Pass {
        /// The rows of the part.
        rows: Vec<Seq>,
        /// Rows of the pass that are done after it, and all of them.
        end: u64,
        all: u64,
    },
}

/// What three non-finite steps in a row set training back to.
enum Start {
    /// The state when the steps began, of which there is no copy.
    Unkept,
    /// A copy of it.
    Kept(State),
    /// The live version: training was set back to it since, and the state when the steps began is of another network.
    Live,
}

/// What came of a few steps.
pub(super) enum Advance {
    /// More are to come.
    More,
    /// The work is complete.
    Complete,
    /// The state when the steps began is needed, and no copy of it was kept. Nothing of this trainer counts any more: it
    /// is to be [loaded again](Trainer::load_again).
    StartNeeded,
}

/// What became of an undone step.
#[derive(PartialEq, Eq)]
enum SetBack {
    /// Training goes on, set back or not.
    Settled,
    /// As in [`Advance::StartNeeded`].
    StartNeeded,
}

struct Done {
    outcome: StepOutcome,
    rows: usize,
    took: Duration,
}

impl Work {
    /// Whether a copy of the state was kept for it, or training set back to the live version.
    pub fn met_set_back(&self) -> bool {
        !matches!(self.start, Start::Unkept)
    }

    /// The mean loss of the rows learned, replay included.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.loss / self.rows as f64)
    }
}

impl Trainer {
    /// The next steps begin with the state as it is.
    pub fn start_work(&mut self, position: u64, kind: WorkKind, total: usize) -> Result<(), TrainingError> {
        let keep = position >= self.keep_from;
        let start = if keep { Start::Kept(self.learned.state()?.into_owned()) } else { Start::Unkept };
        self.work = Some(Work { position, kind, done: 0, total, start, loss: 0.0, rows: 0 });
        Ok(())
    }

    /// Does the next few steps.
    pub fn advance(&mut self, work: &mut Work) -> Result<Advance, TrainingError> {
        let count = self.stride.min(work.total - work.done);
        if count == 0 {
            return Ok(Advance::Complete);
        }
        let plans: Vec<Vec<Seq>> = (0..count).map(|ahead| self.step_plan(work, ahead)).collect();
        let batches = plans.iter().map(|plan| self.rows.fetch(plan)).collect::<Result<Vec<_>, TrainingError>>()?;
        let steps = self.run(&batches, self.pass_factor(&work.kind))?;
        for (plan, step) in plans.iter().zip(steps) {
            work.done += 1;
            let Some(step) = step else { continue };
            self.count(&step);
            match step.outcome {
                StepOutcome::Done { loss } => {
                    work.loss += loss * step.rows as f64;
                    work.rows += step.rows as u64;
                    self.progress.nonfinite_in_row = 0;
                    self.progress.stepped_since_set_back = true;
                    self.progress.is_version = false;
                    self.progress.gate.learned = true;
                }
                StepOutcome::NonFinite { what } => {
                    if self.undone(work, plan, what)? == SetBack::StartNeeded {
                        return Ok(Advance::StartNeeded);
                    }
                }
            }
        }
        self.changed = true;
        Ok(if work.done == work.total { Advance::Complete } else { Advance::More })
    }

    /// The rows of the step `ahead` steps from here.
    fn step_plan(&self, work: &Work, ahead: usize) -> Vec<Seq> {
        let index = work.done + ahead;
        let settings = &self.progress.training;
        match &work.kind {
            WorkKind::Round { last, new, .. } => {
                let step = RoundStep { step: self.learned.steps() + 1 + ahead as u64, index };
                step_rows(&self.history, settings, new, *last, step)
            }
            WorkKind::Pass { rows, .. } => {
                rows.chunks(settings.batch).nth(index).map(<[Seq]>::to_vec).unwrap_or_default()
            }
        }
    }

    /// The factor on the learning rate: passes slow down as they cease to help.
    fn pass_factor(&self, kind: &WorkKind) -> f64 {
        match kind {
            WorkKind::Round { .. } => 1.0,
            WorkKind::Pass { .. } => plateau_factor(self.progress.passes.stale()),
        }
    }

    /// Steps on these batches, up to the first that meets a non-finite number: the steps after it would be others. `None`
    /// for a batch without rows.
    fn run(&mut self, batches: &[Vec<Arc<StoredExample>>], factor: f64) -> Result<Vec<Option<Done>>, TrainingError> {
        let environment = self.environment.clone();
        let Self { model, learned, progress, assembly, .. } = self;
        let settings = &progress.training;
        let rate = progress.rates.rate(settings);
        let rate = Rate { base: factor * rate.base, ..rate };
        let rule = StepRule {
            clip_norm: settings.clip_norm,
            average_decay: settings.average_decay,
            ..StepRule::plain(settings.optimizer, rate, settings.seed)
        };
        let started = Instant::now();
        let mut done = Vec::with_capacity(batches.len());
        environment.compute(|| {
            assembly.each(model, batches, |rows| {
                if rows.is_empty() {
                    done.push(None);
                    return Ok(ControlFlow::Continue(()));
                }
                let began = Instant::now();
                let batch = Batch::of(rows, &model.targets, &environment.device)?;
                let outcome = learned.step(&model.network, &batch, &rule)?;
                let undone = matches!(outcome, StepOutcome::NonFinite { .. });
                done.push(Some(Done { outcome, rows: rows.len(), took: began.elapsed() }));
                Ok::<_, TrainingError>(if undone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        })?;
        self.stride =
            if started.elapsed() > STRIDE_TIME { (self.stride / 2).max(1) } else { (self.stride * 2).min(MOST_STRIDE) };
        Ok(done)
    }

    fn count(&self, step: &Done) {
        let metrics = &self.environment.metrics;
        let name = self.name.as_str();
        match step.outcome {
            StepOutcome::Done { .. } => {
                metrics.steps.with_label_values(&[name]).inc();
                metrics.examples.with_label_values(&[name]).inc_by(step.rows as u64);
                metrics.step_seconds.observe(step.took.as_secs_f64());
            }
            StepOutcome::NonFinite { .. } => metrics.nonfinite.with_label_values(&[name]).inc(),
        }
    }

    /// A step was undone.
    fn undone(&mut self, work: &mut Work, seqs: &[Seq], what: String) -> Result<SetBack, TrainingError> {
        let shown: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
        tracing::warn!(learner = %self.name, step = self.learned.steps(), what, seqs = ?shown, "step undone: a number was not finite");
        self.results.push(JournalEvent::NonFinite { seqs: seqs.to_vec(), what });
        self.progress.nonfinite_in_row += 1;
        if self.progress.nonfinite_in_row < NONFINITE_PATIENCE {
            return Ok(SetBack::Settled);
        }
        if self.progress.stepped_since_set_back && !matches!(work.start, Start::Live) {
            let Start::Kept(start) = &work.start else { return Ok(SetBack::StartNeeded) };
            self.learned = Learned::Tensors(start.clone());
            self.progress.nonfinite_in_row = 0;
            self.progress.stepped_since_set_back = false;
            self.set_back_rate("three steps in a row met a non-finite number: back to the state before this input");
            return Ok(SetBack::Settled);
        }
        // The state before this input met them too: only one that has passed the gate is known to be sound.
        self.progress.nonfinite_in_row = 0;
        let network = self.model.network.clone();
        self.set_back_to_accepted(
            "non-finite numbers again after training was set back: back to the version accepted last",
        )?;
        if self.model.network != network {
            work.start = Start::Live;
        }
        Ok(SetBack::Settled)
    }

    /// Halves the rate and notes why.
    pub fn set_back_rate(&mut self, reason: &str) {
        self.progress.rates.set_back();
        let factor = self.progress.rates.set_back_factor;
        tracing::warn!(learner = %self.name, seq = self.trained_seq.0, factor, reason, "training set back");
        self.results.push(JournalEvent::SetBack {
            seq: self.trained_seq,
            reason: reason.to_owned(),
            learning_rate_factor: factor,
        });
    }
}
