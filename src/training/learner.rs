//! The document that a learner is created from.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::settings::TrainingSettings;
use crate::network::NetworkError;
use crate::network::builders::NetworkSpec;
use crate::policy::PolicySettings;
use crate::registry::Model;
use crate::stream::{LearnerId, LearnerName, Schema, Seq, Task};

/// A learner, as its creator describes it (the same in JSON and TOML).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnerDocument {
    /// Its name, unique in the server.
    pub name: LearnerName,
    /// What it predicts.
    pub task: Task,
    /// From what.
    pub schema: Schema,
    /// The network it starts with.
    pub network: NetworkSpec,
    /// How it learns.
    #[serde(default)]
    pub training: TrainingSettings,
    /// How it grows.
    #[serde(default)]
    pub policy: PolicySettings,
}

impl LearnerDocument {
    /// What is wrong with the document: a JSON pointer into it and a sentence; empty if nothing is. Builds the first
    /// network to find out whether it can be built (`/network`) and fits the budget.
    pub fn faults(&self) -> Vec<(String, String)> {
        unimplemented!("helper E1")
    }

    /// The model of version 1: the network for an encoder and targets that have seen nothing.
    pub fn first_model(&self) -> Result<Model, NetworkError> {
        unimplemented!("helper E1")
    }
}

/// A learner in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerRecord {
    /// Its number.
    pub id: LearnerId,
    /// What it was created from, with its settings as they are now.
    pub document: LearnerDocument,
    /// Raised by every change of settings; 1 at first.
    pub revision: u64,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// The newest place of its stream.
    pub head: Seq,
}
