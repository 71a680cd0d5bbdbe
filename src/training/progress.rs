//! Everything small that training carries along from input to input: the document inside the checkpoint.
//!
//! Whatever decides about a later step and is neither weights nor optimizer state stands here, so that a restart goes on
//! as if nothing had happened. Changed by the trainer only.

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::gate_progress::GateProgress;
use super::growth_order::GrowthOrder;
use super::learner::LearnerDocument;
use super::passes::Passes;
use super::progressive::Progressive;
use super::rates::Rates;
use super::settings::TrainingSettings;
use super::status::LearnerMetrics;
use super::trend::{LossTrend, window_rows};
use crate::network::Network;
use crate::policy::{Decision, PolicySettings, Reason, Signals};
use crate::registry::VersionId;

/// A decision not to grow that is like the one before is kept again after this many learned rows.
const DECISION_ROWS: u64 = 1_000;

/// What training carries along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The revision of the settings that hold.
    pub revision: u64,
    /// How it learns.
    pub training: TrainingSettings,
    /// How it grows.
    pub policy: PolicySettings,
    /// What progressive validation counted.
    pub progressive: Progressive,
    /// What moves the learning rate.
    pub rates: Rates,
    /// Where the gate stands.
    pub gate: GateProgress,
    /// Passes over history.
    pub passes: Passes,
    /// The version that the state descends from.
    pub parent: VersionId,
    /// Whether the state still is that version.
    pub is_version: bool,
    /// Optimizer steps done.
    pub steps: u64,
    /// Examples that were learned from, holdout excluded.
    pub examples: u64,
    /// What `examples` was at the last growth, or at the policy's last attempt.
    pub examples_at_growth: u64,
    /// Training loss since the last growth.
    pub training_trend: LossTrend,
    /// Loss before learning since the last growth.
    pub progressive_trend: LossTrend,
    /// Mean training loss of the newest round or part of a pass.
    pub training_loss: Option<Exact>,
    /// Non-finite steps in a row.
    pub nonfinite_in_row: u32,
    /// Whether a step was done since training was last set back because of non-finite numbers.
    pub stepped_since_set_back: bool,
    /// What the policy wants to happen next.
    pub wanted: Option<Wanted>,
    /// The newest decision in the journal.
    pub decided: Option<Decided>,
    /// What `examples` was when the policy was last asked.
    pub asked_at: u64,
    /// The newest correction of the stream that is followed.
    #[serde(default)]
    pub corrections: u64,
}

/// A growth that the policy wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub order: GrowthOrder,
    pub reasons: Vec<Reason>,
}

/// What tells one decision not to grow from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Decided {
    /// The terms that spoke for growing.
    pub holding: Vec<String>,
    /// What `examples` was.
    pub examples: u64,
}

impl Progress {
    /// The progress of a learner that has seen nothing: version 1 is its state.
    pub fn new(document: &LearnerDocument) -> Self {
        Self {
            revision: 1,
            training: document.training.clone(),
            policy: document.policy.clone(),
            progressive: Progressive::default(),
            rates: Rates::default(),
            gate: GateProgress::default(),
            passes: Passes::default(),
            parent: VersionId(1),
            is_version: true,
            steps: 0,
            examples: 0,
            examples_at_growth: 0,
            training_trend: LossTrend::default(),
            progressive_trend: LossTrend::default(),
            training_loss: None,
            nonfinite_in_row: 0,
            stepped_since_set_back: true,
            wanted: None,
            decided: None,
            asked_at: 0,
            corrections: 0,
        }
    }

    /// What the policy sees.
    pub fn signals(&self, network: &Network) -> Signals {
        let window = window_rows(self.examples);
        let (training_loss, training_loss_before) = self.training_trend.windows(window);
        let (progressive_loss, progressive_loss_before) = self.progressive_trend.windows(window);
        Signals {
            examples: self.examples,
            rows_since_growth: self.examples - self.examples_at_growth,
            examples_at_growth: self.examples_at_growth,
            training_loss,
            training_loss_before,
            progressive_loss,
            progressive_loss_before,
            holdout_loss: self.gate.holdout_loss(),
            holdout_loss_before: self.gate.holdout_loss_before.map(|loss| loss.0),
            parameters: network.parameter_count(),
            flops: network.flops_per_row(),
            settled: self.passes.settled(),
            gate_refusals: self.gate.refusals,
        }
    }

    /// Whether enough was learned since the policy was last asked: 64 rows, or 2 % of a long stream.
    pub fn asks_policy(&self) -> bool {
        self.examples - self.asked_at >= (self.examples / 50).max(64)
    }

    /// Whether a decision belongs into the journal: it grows, its reasons changed, or the last one is long ago.
    pub fn keeps(&mut self, decision: &Decision) -> bool {
        let holding = decision.reasons.iter().filter(|reason| reason.holds).map(|reason| reason.term.clone()).collect();
        let known = self.decided.as_ref().is_some_and(|last| {
            last.holding == holding && self.examples - last.examples < DECISION_ROWS && decision.grow.is_none()
        });
        if !known {
            self.decided = Some(Decided { holding, examples: self.examples });
        }
        !known
    }

    /// A growth was committed after `step` optimizer steps, or one that the policy wanted was refused: its refractory
    /// period begins.
    pub fn growth_ended(&mut self) {
        self.examples_at_growth = self.examples;
        self.wanted = None;
    }

    /// The network changed: what was measured of the old one says nothing about the new one.
    pub fn grown(&mut self, step: u64) {
        self.growth_ended();
        self.rates.grown(step);
        self.training_trend.clear();
        self.progressive_trend.clear();
        self.passes.reopen();
    }

    /// What is measured of the learner.
    pub fn metrics(&self) -> LearnerMetrics {
        LearnerMetrics {
            training_loss: self.training_loss.map(|loss| loss.0),
            holdout_rows: self.gate.holdout_rows,
            holdout_loss: self.gate.holdout_loss(),
            holdout_accuracy: self.gate.holdout_accuracy.map(|accuracy| accuracy.0),
            ..self.progressive.metrics()
        }
    }
}
