//! Plans as they are stored: one form is written, every form that ever was is read.
//!
//! The first form had no steps: its one change stood in the plan itself. The second did not say how a node is touched nor
//! how many layers there are, which follows from the rest. For [`Plan`]'s own deserialisation.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::network::{Network, NodeId, ParameterId, Shape};

use super::plan::{GrowthOp, NodeChange, Plan, Preserves, TouchedNode};
use super::request::{DeeperKind, GrowthRequest, Split};
use super::step::{ChannelRange, Fill, NewRows, Step, UnitGrowth};

/// Any form.
#[derive(Deserialize)]
pub(super) struct StoredPlan {
    request: GrowthRequest,
    op: GrowthOp,
    seed: u64,
    touched: Vec<StoredNode>,
    parameters_before: u64,
    parameters_after: u64,
    #[serde(default)]
    flops_before: u64,
    #[serde(default)]
    flops_after: u64,
    #[serde(default)]
    layers_before: Option<usize>,
    #[serde(default)]
    layers_after: Option<usize>,
    #[serde(default)]
    preserves: Option<Preserves>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    student: Option<Network>,
    #[serde(default)]
    growths: Vec<UnitGrowth>,
    #[serde(default)]
    layouts: BTreeMap<NodeId, Vec<ChannelRange>>,
    #[serde(default)]
    fills: BTreeMap<ParameterId, Fill>,
    #[serde(default)]
    approximate: Option<f64>,
}

/// What happens to one node, in any form.
#[derive(Deserialize)]
struct StoredNode {
    node: NodeId,
    op: String,
    #[serde(default)]
    change: Option<NodeChange>,
    shape_before: Option<Shape>,
    shape_after: Shape,
    parameters_before: u64,
    parameters_after: u64,
    #[serde(default)]
    flops_before: u64,
    #[serde(default)]
    flops_after: u64,
}

impl StoredNode {
    fn read(self, student: &Network) -> Result<TouchedNode, String> {
        let node = student.node(&self.node).ok_or_else(|| format!("the student has no node `{}`", self.node))?;
        let shape = (self.shape_before.as_ref(), &self.shape_after);
        let parameters = (self.parameters_before, self.parameters_after);
        let change = self.change.unwrap_or_else(|| NodeChange::of(node.op.as_ref(), shape, parameters));
        Ok(TouchedNode {
            node: self.node,
            op: self.op,
            change,
            shape_before: self.shape_before,
            shape_after: self.shape_after,
            parameters_before: self.parameters_before,
            parameters_after: self.parameters_after,
            flops_before: self.flops_before,
            flops_after: self.flops_after,
        })
    }
}

/// How many layers with weights the touched nodes add to the student.
fn new_layers(touched: &[TouchedNode], student: &Network) -> usize {
    let produces = |id: &NodeId| student.node(id).is_some_and(|node| node.op.produces_channels());
    touched.iter().filter(|node| node.change == NodeChange::New && produces(&node.node)).count()
}

impl TryFrom<StoredPlan> for Plan {
    type Error = String;

    fn try_from(stored: StoredPlan) -> Result<Self, String> {
        let split = match &stored.request {
            GrowthRequest::Wider(wider) => wider.split,
            _ => Split::default(),
        };
        let preserves = stored.preserves.unwrap_or(match (&stored.request, stored.approximate) {
            (_, Some(tolerance)) => Preserves::Approximately { tolerance },
            (GrowthRequest::Wider(_), None) if split != Split::Fresh => Preserves::Function,
            (GrowthRequest::Deeper(deeper), None) if deeper.kind == DeeperKind::Identity => Preserves::Function,
            _ => Preserves::Bits,
        });
        let mut steps = stored.steps;
        if let (Some(student), true) = (stored.student, steps.is_empty()) {
            let new_rows = match stored.request {
                GrowthRequest::Classes { add, epsilon, log_sum_exp } => {
                    NewRows::Biased(super::classes::bias(add, epsilon, log_sum_exp) as f32)
                }
                _ => NewRows::Drawn,
            };
            let (growths, layouts, fills) = (stored.growths, stored.layouts, stored.fills);
            steps.push(Step { student, growths, layouts, split, new_rows, fills });
        }
        let Some(Step { student, .. }) = steps.last() else {
            return Err("a plan has at least one step".into());
        };
        let touched = stored.touched.into_iter().map(|node| node.read(student)).collect::<Result<Vec<_>, _>>()?;
        let layers_after = stored.layers_after.unwrap_or_else(|| student.layer_count());
        let layers_before = stored.layers_before.unwrap_or(layers_after.saturating_sub(new_layers(&touched, student)));
        Ok(Self {
            request: stored.request,
            op: stored.op,
            seed: stored.seed,
            preserves,
            touched,
            parameters_before: stored.parameters_before,
            parameters_after: stored.parameters_after,
            flops_before: stored.flops_before,
            flops_after: stored.flops_after,
            layers_before,
            layers_after,
            steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::request::{Deeper, Extent, Nodes, Wider};
    use super::*;
    use crate::network::builders::NetworkSpec;

    fn plan() -> Plan {
        let network = NetworkSpec::Mlp { hidden: vec![3], dropout: 0.0 }.build(&Shape::flat(2), 2).unwrap();
        let wider = Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split: Split::Fresh };
        super::super::plan(&network, &GrowthRequest::Wider(wider), 7).unwrap()
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan = plan();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_plan_of_the_first_form_becomes_one_step() {
        let plan = plan();
        let mut document = serde_json::to_value(&plan).unwrap();
        let old = document.as_object_mut().unwrap();
        let Some(Value::Array(mut steps)) = old.remove("steps") else { panic!() };
        for key in ["flops_before", "flops_after", "layers_before", "layers_after", "preserves"] {
            old.remove(key);
        }
        for touched in old["touched"].as_array_mut().unwrap() {
            for key in ["change", "flops_before", "flops_after"] {
                touched.as_object_mut().unwrap().remove(key);
            }
        }
        for key in ["student", "growths", "layouts"] {
            old.insert(key.into(), steps[0][key].take());
        }
        old.insert("fills".into(), json!({}));
        old.insert("approximate".into(), Value::Null);
        let read: Plan = serde_json::from_value(document).unwrap();
        assert_eq!((read.steps, read.preserves), (plan.steps, Preserves::Bits));
    }

    #[test]
    fn a_plan_of_the_second_form_says_what_follows_from_the_rest() {
        let network = plan().student().clone();
        let deeper = GrowthRequest::Deeper(Deeper::plain(Nodes::All, DeeperKind::Residual));
        for plan in [plan(), super::super::plan(&network, &deeper, 7).unwrap()] {
            let mut document = serde_json::to_value(&plan).unwrap();
            let second = document.as_object_mut().unwrap();
            second.remove("layers_before");
            second.remove("layers_after");
            for touched in second["touched"].as_array_mut().unwrap() {
                touched.as_object_mut().unwrap().remove("change");
            }
            assert_eq!(serde_json::from_value::<Plan>(document).unwrap(), plan);
        }
    }

    #[test]
    fn a_plan_that_touches_what_its_student_lacks_is_refused() {
        let mut document = serde_json::to_value(plan()).unwrap();
        document["touched"][0]["node"] = json!("elsewhere");
        assert!(serde_json::from_value::<Plan>(document).is_err());
    }

    #[test]
    fn a_plan_without_steps_is_refused() {
        let mut document = serde_json::to_value(plan()).unwrap();
        document["steps"] = json!([]);
        assert!(serde_json::from_value::<Plan>(document).is_err());
    }
}
