//! The document that a learner is created from.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::settings::TrainingSettings;
use crate::network::NetworkError;
use crate::network::builders::NetworkSpec;
use crate::policy::PolicySettings;
use crate::registry::Model;
use crate::stream::{Encoder, LearnerId, LearnerName, Schema, Seq, Targets, Task};

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
        let mut faults: Vec<_> = below("/schema", self.schema.faults()).collect();
        faults.extend(below("/task", self.task.faults()));
        // A network is built for inputs and outputs; with those at fault there is nothing to build it for.
        if faults.is_empty() {
            faults.extend(self.network_fault());
        }
        faults.extend(below("/training", self.training.faults()));
        faults.extend(below("/policy", self.policy.faults()));
        faults
    }

    /// The model of version 1: the network for an encoder and targets that have seen nothing.
    pub fn first_model(&self) -> Result<Model, NetworkError> {
        let encoder = Encoder::new(&self.schema);
        let targets = Targets::new(&self.task);
        let network = self.network.build(&encoder.shape(), targets.outputs())?;
        Ok(Model { network, encoder, targets })
    }

    fn network_fault(&self) -> Option<(String, String)> {
        let budget = self.policy.max_parameters();
        let detail = match self.first_model() {
            Err(error) => {
                let place = self.network.place_of(&error);
                return Some((format!("/network{place}"), error.to_string()));
            }
            Ok(model) if model.network.parameter_count() > budget => format!(
                "the network starts with {} parameters, more than the policy's `max_parameters` of {budget}",
                model.network.parameter_count()
            ),
            Ok(model) => super::demands::unmet(&model.network, &self.schema, &self.task)?,
        };
        Some(("/network".into(), detail))
    }
}

/// The same faults with their pointers below `place`.
pub(super) fn below(place: &str, faults: Vec<(String, String)>) -> impl Iterator<Item = (String, String)> {
    faults.into_iter().map(move |(pointer, detail)| (format!("{place}{pointer}"), detail))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn document(change: impl FnOnce(&mut serde_json::Value)) -> LearnerDocument {
        let mut document = serde_json::json!({
            "name": "digits",
            "task": {"kind": "classification", "classes": ["0", "1"]},
            "schema": {"features": [{"name": "pixels", "kind": "image", "height": 8, "width": 8, "max": 16}]},
            "network": {"kind": "mlp", "hidden": [16]},
        });
        change(&mut document);
        serde_json::from_value(document).unwrap()
    }

    fn pointers(document: &LearnerDocument) -> Vec<String> {
        document.faults().into_iter().map(|fault| fault.0).collect()
    }

    #[test]
    fn a_sound_document_has_no_faults_and_makes_its_first_model() {
        let document = document(|_| ());
        assert_eq!(document.faults(), []);
        let model = document.first_model().unwrap();
        assert_eq!(model.network.parameter_count(), 64 * 16 + 16 + 16 * 2 + 2);
    }

    #[test]
    fn faults_of_every_part_are_pointed_at() {
        let document = document(|document| {
            document["network"]["hidden"] = serde_json::json!([0]);
            document["training"] = serde_json::json!({"batch": 0});
            document["policy"] = serde_json::json!({"kind": "data_volume", "max_factor": 0.5});
        });
        assert_eq!(pointers(&document), ["/network", "/training/batch", "/policy/max_factor"]);
    }

    #[test]
    fn faults_of_schema_and_task_are_pointed_at() {
        let document = document(|document| {
            document["schema"]["features"] = serde_json::json!([]);
            document["task"]["classes"] = serde_json::json!(["0", "0"]);
        });
        let pointers = pointers(&document);
        assert!(pointers.iter().any(|pointer| pointer.starts_with("/schema/")), "{pointers:?}");
        assert!(pointers.iter().any(|pointer| pointer.starts_with("/task/")), "{pointers:?}");
    }

    #[test]
    fn an_absurd_network_is_refused_without_building_it() {
        let document = document(|document| document["network"]["hidden"] = serde_json::json!([9_000_000_000u64]));
        assert_eq!(pointers(&document), ["/network"]);
    }

    #[test]
    fn a_network_beyond_the_budget_is_a_fault() {
        let document = document(|document| {
            document["policy"] = serde_json::json!({"kind": "manual", "max_parameters": 100});
        });
        assert_eq!(pointers(&document), ["/network"]);
    }
}
