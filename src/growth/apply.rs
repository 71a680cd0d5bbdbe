//! Applying a plan to weights and training state.
//!
//! A function of its arguments: whatever is random in it is drawn by the plan's seed and the parameter's name, on the
//! CPU, so that every device gives the same student.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::compute::optimizer::{Optimizer, OptimizerState};
use crate::network::{Network, NetworkError, Node, NodeId, ParameterId, ParameterKind, ParameterSpec, Parameters};

use super::fill;
use super::influence::{self, Consumer};
use super::mapping::{ParameterMaps, damaged};
use super::moments;
use super::plan::Plan;
use super::regrow::{fill_new, lend, regrow};
use super::request::Split;
use super::shares::Sharing;
use super::step::Step;

/// Weights with the training state that belongs to them.
#[derive(Debug, Clone)]
pub struct State {
    /// Trained parameters and statistics.
    pub parameters: Parameters,
    /// Moments and births.
    pub optimizer: OptimizerState,
}

/// A plan that could not be applied: it is not of this network, or the tensor library failed.
#[derive(Debug, thiserror::Error)]
pub enum GrowthError {
    /// The plan was made for another network.
    #[error("the plan does not fit the network: {0}")]
    Mismatch(String),
    /// The plan has statistics that only data can tell, and they were not measured.
    #[error("the plan's new norms must be measured before it can be applied")]
    NotMeasured,
    /// The network could not be evaluated.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The student's weights and training state. `teacher` is the network that the plan was made for.
///
/// Statistics are gathered like parameters. A parameter that has no moments yet gets none, unless its node is new.
///
/// # Errors
/// A plan of another network, a state that lacks a parameter, a failure of the tensor library; nothing has changed then.
pub fn apply(plan: &Plan, teacher: &Network, state: &State, optimizer: &Optimizer) -> Result<State, GrowthError> {
    check(plan, teacher)?;
    let (mut teacher, mut grown) = (teacher, None);
    for step in &plan.steps {
        let state = grown.as_ref().unwrap_or(state);
        let growing = Growing::new(step, teacher, plan.seed)?;
        let parameters = growing.parameters(&state.parameters)?;
        let optimizer = growing.optimizer_state(state, &parameters, optimizer)?;
        (teacher, grown) = (&step.student, Some(State { parameters, optimizer }));
    }
    grown.ok_or_else(|| damaged("has no steps"))
}

/// The student's weights alone, without training state.
///
/// # Errors
/// Those of [`apply`].
pub fn apply_weights(plan: &Plan, teacher: &Network, parameters: &Parameters) -> Result<Parameters, GrowthError> {
    check(plan, teacher)?;
    let (mut teacher, mut grown) = (teacher, None);
    for step in &plan.steps {
        let parameters = grown.as_ref().unwrap_or(parameters);
        (teacher, grown) = (&step.student, Some(Growing::new(step, teacher, plan.seed)?.parameters(parameters)?));
    }
    grown.ok_or_else(|| damaged("has no steps"))
}

fn check(plan: &Plan, teacher: &Network) -> Result<(), GrowthError> {
    if plan.parameters_before != teacher.parameter_count() {
        return Err(damaged("is of a network with another number of parameters"));
    }
    Ok(())
}

/// One step from a teacher to its student.
struct Growing<'a> {
    step: &'a Step,
    teacher: &'a Network,
    seed: u64,
    /// Where the indices of every parameter that is not new come from.
    maps: BTreeMap<ParameterId, ParameterMaps>,
}

impl<'a> Growing<'a> {
    fn new(step: &'a Step, teacher: &'a Network, seed: u64) -> Result<Self, GrowthError> {
        let mut maps = BTreeMap::new();
        for (node, specs) in step.student.owners() {
            for spec in specs {
                let id = node.parameter(spec.name);
                if step.fills.contains_key(&id) {
                    continue;
                }
                let (old_node, old_spec) = old_parameter(teacher, node, spec)?;
                let map = ParameterMaps::new(step, &node.id, &old_node.inputs, old_spec)?;
                if map.dims(&old_spec.dims) != spec.dims {
                    return Err(GrowthError::Mismatch(format!("{id} would not have the shape that the student needs")));
                }
                maps.insert(id, map);
            }
        }
        Ok(Self { step, teacher, seed, maps })
    }

    fn parameters(&self, old: &Parameters) -> Result<Parameters, GrowthError> {
        let device = old.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        let mut parameters = Parameters::new();
        for (node, specs) in self.step.student.owners() {
            for spec in specs {
                let id = node.parameter(spec.name);
                let value = match self.step.fills.get(&id) {
                    Some(fill) => {
                        let numbers = fill::new_parameter(fill, &id, spec, self.seed)?;
                        Tensor::from_vec(numbers, spec.dims.as_slice(), &device)?
                    }
                    None => self.parameter(node, spec, known(old, &id)?)?,
                };
                parameters.insert(id, value);
            }
        }
        Ok(parameters)
    }

    fn parameter(&self, node: &Node, spec: &ParameterSpec, old: &Tensor) -> Result<Tensor, GrowthError> {
        let id = node.parameter(spec.name);
        let (_, old_spec) = old_parameter(self.teacher, node, spec)?;
        if old.dims() != old_spec.dims {
            return Err(GrowthError::Mismatch(format!("{id} has another shape")));
        }
        let maps = &self.maps[&id];
        if maps.is_empty() {
            return Ok(old.clone());
        }
        let mut numbers = lend(old, |old| {
            let sharing = |input| Sharing::new(self.step.split, input, self.seed, id.as_str(), old);
            regrow(old, &old_spec.dims, maps, maps.input.as_ref().and_then(sharing).as_ref())
        })?;
        let mut fresh = fill::Fresh::new(self.step.new_rows, &id, spec, (self.seed, old_spec.elements()));
        if let (Some(input), Split::RandomPad) = (&maps.input, self.step.split) {
            fill_new(&mut numbers, &spec.dims, input, || fresh.draw());
        }
        if let Some(out) = &maps.out {
            fill_new(&mut numbers, &spec.dims, out, || fresh.draw());
        }
        Ok(Tensor::from_vec(numbers, spec.dims.as_slice(), old.device())?)
    }

    fn optimizer_state(
        &self,
        old: &State,
        grown: &Parameters,
        optimizer: &Optimizer,
    ) -> Result<OptimizerState, GrowthError> {
        let step = old.optimizer.step;
        let mut state = OptimizerState { step, moments: BTreeMap::new() };
        if old.optimizer.moments.is_empty() {
            return Ok(state);
        }
        let shares = influence::shares(self.step, |owner| self.consumers(owner, &old.parameters, grown))?;
        for (node, specs) in self.step.student.owners() {
            for spec in specs.iter().filter(|spec| spec.kind == ParameterKind::Trained) {
                let id = node.parameter(spec.name);
                let moments = match (self.maps.get(&id), old.optimizer.moments.get(id.as_str())) {
                    (None, _) => {
                        let axis = spec.channel_axes();
                        optimizer.moments(&grown[&id], axis.out, axis.input, step)?
                    }
                    (Some(maps), Some(known)) => moments::grown(known, maps, shares.get(&node.id), step)?,
                    (Some(_), None) => continue,
                };
                state.moments.insert(id.as_str().to_owned(), moments);
            }
        }
        Ok(state)
    }

    /// The parameters of a node whose columns were shared among copies, before and after.
    fn consumers(&self, owner: &NodeId, old: &Parameters, grown: &Parameters) -> Result<Vec<Consumer>, GrowthError> {
        let mut consumers = Vec::new();
        let Some(node) = self.step.student.node(owner) else {
            return Ok(consumers);
        };
        for spec in self.step.student.node_parameters(owner).iter().filter(|spec| spec.kind == ParameterKind::Trained) {
            let id = node.parameter(spec.name);
            let (Some(input), Some(maps)) = (spec.consumes(), self.maps.get(&id)) else {
                continue;
            };
            if maps.input.as_ref().is_none_or(|map| map.families.is_empty()) {
                continue;
            }
            let (_, old_spec) = old_parameter(self.teacher, node, spec)?;
            consumers.push(Consumer {
                input,
                groups: spec.axes.iter().map(|role| role.groups()).max().unwrap_or(1),
                rows: spec.channel_axes().out,
                dims: spec.dims.clone(),
                gathered: lend(known(old, &id)?, |old| regrow(old, &old_spec.dims, maps, None))?,
                split: lend(known(grown, &id)?, <[f32]>::to_vec)?,
                maps: maps.clone(),
            });
        }
        Ok(consumers)
    }
}

fn known<'a>(parameters: &'a Parameters, id: &ParameterId) -> Result<&'a Tensor, GrowthError> {
    parameters.get(id).ok_or_else(|| GrowthError::Mismatch(format!("it lacks {id}")))
}

/// The teacher's node and declaration of a parameter that is not new.
fn old_parameter<'a>(
    teacher: &'a Network,
    node: &Node,
    spec: &ParameterSpec,
) -> Result<(&'a Node, &'a ParameterSpec), GrowthError> {
    let old = teacher.node_parameters(&node.id).iter().find(|old| old.name == spec.name);
    teacher.node(&node.id).zip(old).ok_or_else(|| damaged("has a node that the network lacks"))
}
