//! A round: new rows are predicted, then learned together with replay of old ones.
//!
//! Everything that a round does before its steps and after them: new categories and classes, statistics, progressive
//! validation, and at its end the gate and the policy. A function of the state, the rows and the settings.

use std::sync::Arc;

use super::encoded::EncodedRows;
use super::error::TrainingError;
use super::evaluation::Evaluation;
use super::exact::Exact;
use super::passes::{NextPass, PassEnd, part_rows};
use super::replay::{pass_order, round_steps};
use super::rescale::Rescaling;
use super::steps::{Work, WorkKind};
use super::trainer::Trainer;
use crate::stream::{Label, Row, Seq, StoredExample};

/// With fewer holdout rows passes are judged by their training loss.
const JUDGED_ROWS: u64 = 30;

impl Trainer {
    /// Takes new rows up to where their steps begin.
    pub fn begin_round(&mut self, position: u64, first: Seq, last: Seq) -> Result<(), TrainingError> {
        if first.0 != self.trained_seq.0 + 1 || last < first {
            return Err(TrainingError::Damaged(format!("a round from {first} to {last} after {}", self.trained_seq)));
        }
        let environment = self.environment.clone();
        let places = self.rows.range(&environment, first, last)?;
        let examples: Vec<Arc<StoredExample>> = places.iter().filter_map(|(_, row)| row.clone()).collect();
        self.grow_for(&examples)?;
        let before = self.history.learned_count(last);
        self.history.append(places.iter().map(|(seq, row)| (*seq, row.as_ref().map(|row| &row.label))));
        let new = self.history.learned_between(first, last);
        let learned: Vec<&Arc<StoredExample>> =
            examples.iter().filter(|example| new.binary_search(&example.seq).is_ok()).collect();
        self.model.encoder.observe(learned.iter().map(|example| -> &Row { &example.row }));
        self.predict_first(&examples)?;
        let statistics = self.model.targets.clone();
        self.model.targets.observe(learned.iter().map(|example| -> &Label { &example.label }));
        if let Some(rescaling) = Rescaling::between(&statistics, &self.model.targets) {
            self.learned.rescale(&self.model.network, &rescaling)?;
        }
        self.progress.is_version = false;
        self.changed = true;
        let total = round_steps(&self.progress.training, before, before + new.len());
        let kind = WorkKind::Round { first, last, new };
        self.start_work(position, kind, total)
    }

    /// Progressive validation: the trainer's own answers on rows that it has not learned.
    fn predict_first(&mut self, examples: &[Arc<StoredExample>]) -> Result<(), TrainingError> {
        if examples.is_empty() {
            return Ok(());
        }
        let environment = self.environment.clone();
        let Self { model, learned, .. } = self;
        let evaluation = environment.compute(|| {
            let rows = EncodedRows::encode(model, examples.iter().map(|example| &**example));
            let outputs = learned.evaluate(&model.network, &rows)?;
            Ok::<_, TrainingError>(Evaluation::of_outputs(&outputs, &model.targets, &rows, model.targets.scale()))
        })?;
        for (example, score) in examples.iter().zip(&evaluation.scores) {
            self.progress.progressive.observe(&self.model.targets, &example.label, score);
        }
        if let Some(loss) = evaluation.mean_loss().filter(|loss| loss.is_finite()) {
            self.progress.progressive_trend.push(examples.len() as u64, loss);
        }
        Ok(())
    }

    /// Takes the next part of a pass over history up to where its steps begin.
    pub fn begin_pass(&mut self, position: u64, number: u32, until: Seq) -> Result<(), TrainingError> {
        let done = self.progress.passes.begin(NextPass { number, until });
        let settings = &self.progress.training;
        if self.pass_order.as_ref().is_none_or(|(pass, _)| *pass != NextPass { number, until }) {
            let order = pass_order(&self.history, settings.seed, number, until);
            self.pass_order = Some((NextPass { number, until }, order));
        }
        let order = self.pass_order.as_ref().map_or(&[][..], |(_, order)| order);
        let start = usize::try_from(done).unwrap_or(usize::MAX).min(order.len());
        let end = order.len().min(start + part_rows(&self.model.network, settings.batch));
        let rows = order[start..end].to_vec();
        let total = rows.len().div_ceil(settings.batch);
        let kind = WorkKind::Pass { rows, end: end as u64, all: order.len() as u64 };
        self.changed = true;
        self.start_work(position, kind, total)
    }

    /// The work's steps are done: what follows from them, up to the next input. Whatever is decided here stands in the
    /// progress before anything is committed, so that a restart finds it decided.
    pub fn finish(&mut self, work: Work) -> Result<(), TrainingError> {
        let loss = work.mean_loss().filter(|loss| loss.is_finite());
        self.position = work.position;
        self.changed = true;
        match work.kind {
            WorkKind::Round { first, last, new } => {
                self.trained_seq = last;
                self.progress.examples += new.len() as u64;
                self.progress.gate.rows_since += last.0 - first.0 + 1;
                if let Some(loss) = loss {
                    self.progress.training_loss = Some(Exact(loss));
                    self.progress.training_trend.push(new.len() as u64, loss);
                }
                let due = self.progress.gate.rows_since >= self.progress.training.publish_rows;
                let outcome = if due { Some(self.measure()?) } else { None };
                self.ask_policy();
                outcome.map_or(Ok(()), |outcome| self.conclude(outcome))
            }
            WorkKind::Pass { rows, end, all } => {
                if let Some(loss) = loss {
                    self.progress.training_loss = Some(Exact(loss));
                    self.progress.training_trend.push(rows.len() as u64, loss);
                }
                self.progress.passes.learned(loss, rows.len() as u64);
                if self.progress.passes.advance(end, all) == PassEnd::Part {
                    return Ok(());
                }
                self.pass_order = None;
                let outcome = self.measure()?;
                let measured = self.progress.gate.holdout_rows >= JUDGED_ROWS;
                let holdout = if measured { self.progress.gate.holdout_loss() } else { None };
                self.progress.passes.completed(holdout, self.progress.examples, self.progress.training.max_passes);
                self.ask_policy();
                self.conclude(outcome)
            }
        }
    }
}
