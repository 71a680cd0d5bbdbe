//! Applying a plan to weights and training state.
//!
//! A function of its arguments: whatever is random in it is drawn by the plan's seed and the parameter's name, on the
//! CPU, so that every device gives the same student.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::compute::optimizer::{Optimizer, OptimizerState};
use crate::compute::random::{Purpose, Random};
use crate::network::{
    AxisRole, Network, NetworkError, Node, NodeId, ParameterId, ParameterKind, ParameterSpec, Parameters,
};

use super::influence::{self, Consumer};
use super::mapping::{ParameterMaps, damaged};
use super::plan::Plan;
use super::request::GrowthRequest;
use super::transfer::{self, Values};
use super::{fill, shares};

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
    if plan.parameters_before != teacher.parameter_count() {
        return Err(damaged("is of a network with another number of parameters"));
    }
    let device = state.parameters.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
    let mut growing = Growing { plan, teacher, state, device, grown: BTreeMap::new(), consumers: BTreeMap::new() };
    for node in plan.student.nodes() {
        for spec in plan.student.node_parameters(&node.id) {
            let grown = growing.parameter(node, spec)?;
            growing.grown.insert(ParameterId::new(&node.id, spec.name), grown);
        }
    }
    let optimizer = growing.optimizer_state(optimizer)?;
    let parameters = growing.grown.into_iter().map(|(id, grown)| (id, grown.value)).collect();
    Ok(State { parameters, optimizer })
}

/// One parameter of the student.
struct Grown {
    value: Tensor,
    maps: ParameterMaps,
}

/// The student as far as it is made.
struct Growing<'a> {
    plan: &'a Plan,
    teacher: &'a Network,
    state: &'a State,
    device: Device,
    grown: BTreeMap<ParameterId, Grown>,
    /// The parameters whose columns were shared among copies.
    consumers: BTreeMap<NodeId, Vec<Consumer>>,
}

impl Growing<'_> {
    fn parameter(&mut self, node: &Node, spec: &ParameterSpec) -> Result<Grown, GrowthError> {
        let id = ParameterId::new(&node.id, spec.name);
        if let Some(fill) = self.plan.fills.get(&id) {
            let numbers = fill::new_parameter(*fill, &id, spec, self.plan.seed);
            let value = Tensor::from_vec(numbers, spec.dims.as_slice(), &self.device)?;
            return Ok(Grown { value, maps: ParameterMaps::default() });
        }
        let specs = self.teacher.node_parameters(&node.id);
        let teacher_spec = specs.iter().find(|old| old.name == spec.name);
        let (Some(teacher_spec), Some(teacher_node)) = (teacher_spec, self.teacher.node(&node.id)) else {
            return Err(damaged("has a node that the network lacks"));
        };
        let old = self.state.parameters.get(&id).ok_or_else(|| GrowthError::Mismatch(format!("it lacks {id}")))?;
        if old.dims() != teacher_spec.dims {
            return Err(GrowthError::Mismatch(format!("{id} has another shape")));
        }
        let maps = ParameterMaps::new(self.plan, &node.id, &teacher_node.inputs, teacher_spec)?;
        let value = if maps.iter().next().is_none() { old.clone() } else { self.grow(node, spec, old, &maps)? };
        if value.dims() != spec.dims {
            return Err(GrowthError::Mismatch(format!("{id} would not have the shape that the student needs")));
        }
        Ok(Grown { value, maps })
    }

    fn grow(
        &mut self,
        node: &Node,
        spec: &ParameterSpec,
        old: &Tensor,
        maps: &ParameterMaps,
    ) -> Result<Tensor, GrowthError> {
        let id = ParameterId::new(&node.id, spec.name);
        let gathered = Values::of(old)?.gather_all(maps);
        let mut values = gathered.clone();
        if let (Some(input), GrowthRequest::Wider(wider)) = (&maps.input, &self.plan.request) {
            let mut random = Random::keyed(self.plan.seed, Purpose::Shares, 0, id.as_str());
            shares::split(&mut values, input, wider.split, &mut random);
        }
        if let Some(out) = &maps.out {
            let mut fresh = fill::Fresh::new(self.plan, &id, spec, old.elem_count());
            values.fill_new(out, || fresh.draw());
        }
        let value = values.like(old)?;
        let copied = maps.input.as_ref().is_some_and(|input| !input.families.is_empty());
        if let (true, Some(input)) = (copied && spec.kind == ParameterKind::Trained, spec.consumes()) {
            let rows = spec.axes.iter().position(|role| *role == AxisRole::Out);
            let groups = spec.axes.iter().map(|role| role.groups()).max().unwrap_or(1);
            let consumer = Consumer { input, groups, rows, gathered, split: values, maps: maps.clone() };
            self.consumers.entry(node.id.clone()).or_default().push(consumer);
        }
        Ok(value)
    }

    fn optimizer_state(&self, optimizer: &Optimizer) -> Result<OptimizerState, GrowthError> {
        let old = &self.state.optimizer;
        let shares = influence::shares(self.plan, &self.consumers)?;
        let mut moments = BTreeMap::new();
        for node in self.plan.student.nodes() {
            let specs = self.plan.student.node_parameters(&node.id).iter();
            for spec in specs.filter(|spec| spec.kind == ParameterKind::Trained) {
                let id = ParameterId::new(&node.id, spec.name);
                let Grown { value, maps } = &self.grown[&id];
                let grown = match old.moments.get(id.as_str()) {
                    _ if self.plan.fills.contains_key(&id) => {
                        let axis = |wanted: fn(&AxisRole) -> bool| spec.axes.iter().position(wanted);
                        let out = axis(|role| *role == AxisRole::Out);
                        let input = axis(|role| role.consumes().is_some());
                        optimizer.moments(value, out, input, old.step)?
                    }
                    Some(known) => transfer::moments(known, maps, shares.get(&node.id), old.step)?,
                    None => continue,
                };
                moments.insert(id.as_str().to_owned(), grown);
            }
        }
        Ok(OptimizerState { step: old.step, moments })
    }
}
