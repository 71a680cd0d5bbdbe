//! Plans as they are stored: one form is written, every form that ever was is read.
//!
//! The first form had no steps: its one change stood in the plan itself. For [`Plan`]'s own deserialisation.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::network::{Network, NodeId, ParameterId};

use super::plan::{GrowthOp, Plan, Preserves, TouchedNode};
use super::request::{DeeperKind, GrowthRequest, Split};
use super::step::{ChannelRange, Fill, NewRows, Step, UnitGrowth};

/// Either form.
#[derive(Deserialize)]
pub(super) struct StoredPlan {
    request: GrowthRequest,
    op: GrowthOp,
    seed: u64,
    touched: Vec<TouchedNode>,
    parameters_before: u64,
    parameters_after: u64,
    #[serde(default)]
    flops_before: u64,
    #[serde(default)]
    flops_after: u64,
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
        if steps.is_empty() {
            return Err("a plan has at least one step".into());
        }
        Ok(Self {
            request: stored.request,
            op: stored.op,
            seed: stored.seed,
            preserves,
            touched: stored.touched,
            parameters_before: stored.parameters_before,
            parameters_after: stored.parameters_after,
            flops_before: stored.flops_before,
            flops_after: stored.flops_after,
            steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::request::{Extent, Nodes, Wider};
    use super::*;
    use crate::network::Shape;
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
        for key in ["flops_before", "flops_after", "preserves"] {
            old.remove(key);
        }
        for touched in old["touched"].as_array_mut().unwrap() {
            for key in ["flops_before", "flops_after"] {
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
    fn a_plan_without_steps_is_refused() {
        let mut document = serde_json::to_value(plan()).unwrap();
        document["steps"] = json!([]);
        assert!(serde_json::from_value::<Plan>(document).is_err());
    }
}
