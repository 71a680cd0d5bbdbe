//! The journal: what was decided, durably, in order.
//!
//! *Inputs* ([`JournalEvent::is_input`]) are written before the trainer acts on them and are what a restart replays;
//! everything else is a result, committed together with the checkpoint that contains its effect.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::growth_order::{GrowthOrder, Trigger};
use super::settings::TrainingSettings;
use crate::growth::{Certificate, Drift, GrowthOp, Plan, Refusal};
use crate::policy::{Decision, PolicySettings};
use crate::registry::{Cause, VersionId};
use crate::stream::Seq;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JournalEvent {
    /// Input: these new rows, `first` to `last`, are learned next.
    Round { first: Seq, last: Seq },
    /// Input: the next part of a pass over history up to `until`, the `number`th pass of the learner's life; the same again
    /// goes on with it.
    Pass { number: u32, until: Seq },
    /// Input: this growth is tried next. `ticket`: the operator's order behind it.
    Order { order: GrowthOrder, trigger: Trigger, ticket: Option<u64> },
    /// Input: the settings of this revision hold from here. `before`: those that held until now, so that what a learner was
    /// born with is known for as long as its journal; journals of the first release have none.
    Settings {
        revision: u64,
        document: serde_json::Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Box<HeldSettings>>,
    },
    /// Input: the corrections of the stream up to this number are followed from here. Its checkpoint is written at once.
    Corrections { through: u64 },
    /// The policy decided.
    Decided { seq: Seq, decision: Decision },
    /// A growth was committed.
    Grown(Box<GrowthEvent>),
    /// A growth was refused; nothing changed.
    Refused { seq: Seq, op: Option<GrowthOp>, trigger: Trigger, ticket: Option<u64>, refusal: Refusal },
    /// The gate measured.
    Gate { seq: Seq, outcome: GateOutcome },
    /// A version was published. `live`: it was accepted, so that `live` moved to it unless an operator had pinned it.
    Published { version: VersionId, cause: Cause, live: bool },
    /// A non-finite number was met and the step undone.
    NonFinite { seqs: Vec<Seq>, what: String },
    /// Training was set back.
    SetBack { seq: Seq, reason: String, learning_rate_factor: f64 },
}

impl JournalEvent {
    /// Whether a trainer acts on it (and a restart replays it).
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Round { .. }
                | Self::Pass { .. }
                | Self::Order { .. }
                | Self::Settings { .. }
                | Self::Corrections { .. }
        )
    }

    /// The kind, as the store's column and queries name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Round { .. } => "round",
            Self::Pass { .. } => "pass",
            Self::Order { .. } => "order",
            Self::Settings { .. } => "settings",
            Self::Corrections { .. } => "corrections",
            Self::Decided { .. } => "decided",
            Self::Grown(_) => "grown",
            Self::Refused { .. } => "refused",
            Self::Gate { .. } => "gate",
            Self::Published { .. } => "published",
            Self::NonFinite { .. } => "non_finite",
            Self::SetBack { .. } => "set_back",
        }
    }
}

/// The settings that a learner can change, as they held at one place of its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldSettings {
    /// How it learned.
    pub training: TrainingSettings,
    /// How it grew.
    pub policy: PolicySettings,
}

/// A growth that was committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowthEvent {
    /// The kind.
    pub op: GrowthOp,
    /// Who wanted it.
    pub trigger: Trigger,
    /// The operator's order behind it.
    pub ticket: Option<u64>,
    /// The newest trained example.
    pub seq: Seq,
    /// The version before.
    pub teacher: VersionId,
    /// The version after.
    pub version: VersionId,
    /// What was done.
    pub plan: Plan,
    /// The proof.
    pub certificate: Certificate,
    /// How far copies part in their first steps; `None` where nothing was copied.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// The policy's reasons, if it was the policy.
    pub reasons: Vec<crate::policy::Reason>,
    /// Short texts of the networks before and after.
    pub network_before: String,
    /// See [`crate::network::Network::summary`].
    pub network_after: String,
    /// Seconds from plan to certificate and drift.
    pub seconds: f64,
}

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateOutcome {
    /// Whether the candidate may be published.
    pub passed: bool,
    /// Why, in a sentence with the numbers.
    pub reason: String,
    /// Holdout rows measured.
    pub rows: usize,
    /// Mean loss of the candidate.
    pub candidate_loss: Option<f64>,
    /// Mean loss of the version that was accepted last, whatever `live` names.
    pub live_loss: Option<f64>,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its position: 1 for the first of a learner, without gaps.
    pub position: u64,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What.
    pub event: JournalEvent,
}
