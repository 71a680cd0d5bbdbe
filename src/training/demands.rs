//! What a learner's life will ask of its network, checked before the learner begins: new outputs for new classes, new inputs
//! for new categories, an output layer that can follow the statistics of a regression's targets.
//!
//! The stream brings these without asking; a network that could not follow would leave its trainer stuck on the first such
//! row. Called where a learner's document is checked.

use super::rescale;
use crate::growth::{GrowthRequest, plan};
use crate::network::Network;
use crate::stream::schema::FeatureKind;
use crate::stream::{Schema, Task};

/// Why this network cannot serve such a stream and task for ever, in a sentence.
pub(super) fn unmet(network: &Network, schema: &Schema, task: &Task) -> Option<String> {
    let refusal = |request| plan(network, &request, 0).err();
    let brings_categories =
        schema.features.iter().any(|feature| matches!(feature.kind, FeatureKind::Categorical { .. }));
    if brings_categories && let Some(refusal) = refusal(GrowthRequest::Inputs { add: 1 }) {
        return Some(format!(
            "a new category of a categorical feature would need a new input, and cannot have one: {refusal}"
        ));
    }
    match task {
        Task::Classification { open_classes: true, .. } => {
            let refusal = refusal(GrowthRequest::Classes { add: 1, epsilon: 0.5, log_sum_exp: 0.0 })?;
            Some(format!(
                "the task has open classes, and a new one would need an output that it cannot have: {refusal}"
            ))
        }
        Task::Classification { .. } => None,
        Task::Regression => rescale::fault(network),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::training::LearnerDocument;

    /// The faults of a learner whose network is the graph of these nodes.
    fn faults(task: Value, features: Value, nodes: Value) -> Vec<(String, String)> {
        let document = json!({
            "name": "demanding", "task": task, "schema": {"features": features},
            "network": {"kind": "graph", "nodes": nodes},
        });
        serde_json::from_value::<LearnerDocument>(document).unwrap().faults()
    }

    fn node(id: &str, op: Value, input: &str) -> Value {
        let mut node = op;
        node["id"] = json!(id);
        node["inputs"] = json!([input]);
        node
    }

    fn one_fault(task: Value, features: Value, nodes: Value) -> String {
        match &faults(task, features, nodes)[..] {
            [(pointer, detail)] if pointer == "/network" => detail.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn open_classes_need_outputs_that_can_grow() {
        let numbers = json!([{"name": "x", "kind": "vector", "size": 4}]);
        let closed = json!({"kind": "classification", "classes": ["a", "b"]});
        let open = json!({"kind": "classification", "classes": ["a", "b"], "open_classes": true});
        let without_bias = json!([node("output", json!({"op": "embedding", "out": 2}), "input")]);
        assert_eq!(faults(closed, numbers.clone(), without_bias.clone()), []);
        assert!(one_fault(open.clone(), numbers.clone(), without_bias).contains("open classes"));
        let layer = json!([node("output", json!({"op": "linear", "out": 2}), "input")]);
        assert_eq!(faults(open, numbers, layer), []);
    }

    #[test]
    fn categories_need_inputs_that_can_grow() {
        let task = json!({"kind": "classification", "classes": ["a", "b"]});
        let category = json!([{"name": "colour", "kind": "categorical"}, {"name": "x", "kind": "vector", "size": 2}]);
        let normed = json!([
            node("norm", json!({"op": "layer_norm", "epsilon": 1e-5}), "input"),
            node("output", json!({"op": "linear", "out": 2}), "norm"),
        ]);
        assert!(one_fault(task.clone(), category, normed.clone()).contains("new category"));
        let numbers = json!([{"name": "x", "kind": "vector", "size": 2}]);
        assert_eq!(faults(task, numbers, normed), []);
    }

    #[test]
    fn a_regression_needs_an_output_layer_of_its_own() {
        let numbers = json!([{"name": "x", "kind": "vector", "size": 1}]);
        let regression = json!({"kind": "regression"});
        let squashed = json!([
            node("below", json!({"op": "linear", "out": 1}), "input"),
            node("output", json!({"op": "tanh"}), "below"),
        ]);
        assert!(one_fault(regression.clone(), numbers.clone(), squashed).contains("linear"));
        let mut shared = json!([
            node("below", json!({"op": "linear", "out": 1}), "input"),
            node("output", json!({"op": "linear", "out": 1}), "below"),
        ]);
        assert_eq!(faults(regression.clone(), numbers.clone(), shared.clone()), []);
        shared[1]["shares"] = json!("below");
        assert!(one_fault(regression, numbers, shared).contains("share"));
    }
}
