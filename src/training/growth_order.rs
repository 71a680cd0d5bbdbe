//! Growth orders: what an operator or the policy asks of a trainer, and what became of it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::journal::GrowthEvent;
use crate::growth::{Deeper, GrowthOp, Refusal, Wider};
use crate::stream::Feature;

/// What is asked for, in a learner's own terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthOrder {
    /// More channels.
    Wider(Wider),
    /// More layers.
    Deeper(Deeper),
    /// Columns for these values of a categorical feature.
    Inputs { feature: String, categories: Vec<String> },
    /// Columns for new features, at the end of the schema.
    Features { features: Vec<Feature> },
    /// Outputs for these new classes.
    Classes { classes: Vec<String> },
    /// Whatever the policy would do next, whether or not it thinks that it is time.
    Auto,
}

impl GrowthOrder {
    /// The kind of growth; `None` if that is the policy's to say.
    pub fn op(&self) -> Option<GrowthOp> {
        match self {
            Self::Wider(_) => Some(GrowthOp::Wider),
            Self::Deeper(_) => Some(GrowthOp::Deeper),
            Self::Inputs { .. } | Self::Features { .. } => Some(GrowthOp::Inputs),
            Self::Classes { .. } => Some(GrowthOp::Classes),
            Self::Auto => None,
        }
    }
}

/// Who wanted a growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The policy.
    Policy,
    /// An operator.
    Manual,
    /// The stream brought a new category or class.
    Stream,
}

impl Trigger {
    /// All of them, for metrics.
    pub const ALL: [Self; 3] = [Self::Policy, Self::Manual, Self::Stream];

    /// The name in documents and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Manual => "manual",
            Self::Stream => "stream",
        }
    }
}

/// Where an operator's order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Stored; a trainer will take it at a step boundary.
    Planned,
    /// Committed.
    Applied,
    /// Could not be done; nothing changed.
    Refused,
    /// Something broke; nothing changed.
    Failed,
}

/// An operator's order in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowthTicket {
    /// Its number within the learner, from 1.
    pub id: u64,
    /// What was asked for.
    pub order: GrowthOrder,
    /// Where it stands.
    pub state: TicketState,
    /// When it was stored.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What was done, once applied.
    pub event: Option<GrowthEvent>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// Why it failed.
    pub failure: Option<String>,
}
