//! Applying a plan to weights and training state.
//!
//! A function of its arguments: whatever is random in it is drawn by the plan's seed and the parameter's name, on the
//! CPU, so that every device gives the same student.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::compute::finite::lend;
use crate::compute::optimizer::{Moments, Optimizer, OptimizerState};
use crate::network::parameter::device_of;
use crate::network::{Network, NetworkError, Node, NodeId, ParameterId, ParameterKind, ParameterSpec, Parameters};

use super::fill;
use super::influence::{self, Consumer};
use super::mapping::{AxisMaps, ParameterMaps, damaged};
use super::moments;
use super::plan::Plan;
use super::regrow::{Change, fill_new, regrow};
use super::request::Split;
use super::shares::Sharing;
use super::step::{Fill, Step};

/// Weights with the training state that belongs to them.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Trained parameters and statistics.
    pub parameters: Parameters,
    /// Moments, births and averages.
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
    seed: u64,
    /// Every parameter of the student, in order of nodes.
    targets: Vec<Target<'a>>,
}

/// A parameter of the student and where it comes from.
struct Target<'a> {
    id: ParameterId,
    node: &'a Node,
    spec: &'a ParameterSpec,
    origin: Origin<'a>,
}

enum Origin<'a> {
    /// It is new.
    New(&'a Fill),
    /// It is an old one, whose indices these maps lead to.
    Old { spec: &'a ParameterSpec, maps: ParameterMaps },
}

impl<'a> Growing<'a> {
    fn new(step: &'a Step, teacher: &'a Network, seed: u64) -> Result<Self, GrowthError> {
        let (mut targets, mut axes) = (Vec::new(), AxisMaps::new(step));
        for (node, specs) in step.student.owners() {
            let old_specs = teacher.node_parameters(&node.id);
            let inputs = teacher.node(&node.id).map_or(&[][..], |old| &old.inputs);
            for spec in specs {
                let id = node.parameter(spec.name);
                let origin = match step.fills.get(&id) {
                    Some(fill) => Origin::New(fill),
                    None => {
                        let old_spec = old_specs.iter().find(|old| old.name == spec.name);
                        let old_spec = old_spec.ok_or_else(|| damaged("has a node that the network lacks"))?;
                        let maps = ParameterMaps::new(&mut axes, &node.id, inputs, old_spec)?;
                        if maps.dims(&old_spec.dims) != spec.dims {
                            let reason = format!("{id} would not have the shape that the student needs");
                            return Err(GrowthError::Mismatch(reason));
                        }
                        Origin::Old { spec: old_spec, maps }
                    }
                };
                targets.push(Target { id, node, spec, origin });
            }
        }
        Ok(Self { step, seed, targets })
    }

    fn parameters(&self, old: &Parameters) -> Result<Parameters, GrowthError> {
        let device = device_of(old);
        let mut parameters = Vec::with_capacity(self.targets.len());
        let mut targets: Vec<&Target<'_>> = self.targets.iter().collect();
        targets.sort_unstable_by_key(|target| &target.id);
        // Both in order of name: a walk beside each other is cheaper than as many searches.
        let mut old = old.iter().peekable();
        for Target { id, spec, origin, .. } in targets {
            while old.next_if(|(name, _)| *name < id).is_some() {}
            let value = match origin {
                Origin::New(fill) => {
                    let numbers = fill::new_parameter(fill, id, spec, self.seed)?;
                    Tensor::from_vec(numbers, spec.dims.as_slice(), &device)?
                }
                Origin::Old { spec: old_spec, maps } => {
                    let (_, old) = old.next_if(|(name, _)| *name == id).ok_or_else(|| lacks(id))?;
                    self.parameter((id, spec), old, old_spec, maps)?
                }
            };
            parameters.push((id.clone(), value));
        }
        Ok(parameters.into_iter().collect())
    }

    fn parameter(
        &self,
        (id, spec): (&ParameterId, &ParameterSpec),
        old: &Tensor,
        old_spec: &ParameterSpec,
        maps: &ParameterMaps,
    ) -> Result<Tensor, GrowthError> {
        if old.dims() != old_spec.dims {
            return Err(GrowthError::Mismatch(format!("{id} has another shape")));
        }
        if maps.is_empty() {
            return Ok(old.clone());
        }
        let mut numbers = lend(old, |old| {
            let sharing = maps.input.as_ref().and_then(|input| {
                let inner = spec.dims[input.axis + 1..].iter().product();
                Sharing::new(self.step.split, input.places(inner), (self.seed, id.as_str()), old)
            });
            regrow(old, &old_spec.dims, maps, sharing.as_ref().map(Change::Share).as_ref())
        })?;
        if maps.iter().any(|map| map.has_new()) {
            let mut fresh = fill::Fresh::new(self.step.new_rows, id, spec, (self.seed, old_spec.elements()));
            if let (Some(input), Split::RandomPad) = (&maps.input, self.step.split) {
                fill_new(&mut numbers, &spec.dims, input, || fresh.draw());
            }
            if let Some(out) = &maps.out {
                fill_new(&mut numbers, &spec.dims, out, || fresh.draw());
            }
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
        let shares =
            influence::shares(self.step, |owner, found| self.consumers(owner, (&old.parameters, grown), found))?;
        let averaged = old.optimizer.moments.values().any(|moments| moments.average.is_some());
        for Target { id, node, spec, origin } in &self.targets {
            if spec.kind != ParameterKind::Trained {
                continue;
            }
            let moments = match (origin, old.optimizer.moments.get(id.as_str())) {
                (Origin::New(_), _) => {
                    let axis = spec.channel_axes();
                    let moments = optimizer.moments(&grown[id], axis.out, axis.input, step)?;
                    // What has just begun has no past to average: its average is what it starts as.
                    Moments { average: averaged.then(|| grown[id].clone()), ..moments }
                }
                (Origin::Old { spec: old_spec, maps }, Some(known)) => {
                    // An average is a parameter of a network that computes something too: it is gathered and split by
                    // the same shares, so that what is published of the student computes what was of the teacher.
                    let average = known.average.as_ref();
                    let average = average.map(|average| self.parameter((id, spec), average, old_spec, maps));
                    let moments = moments::grown(known, maps, shares.get(&node.id), step)?;
                    Moments { average: average.transpose()?, ..moments }
                }
                (Origin::Old { .. }, None) => continue,
            };
            state.moments.insert(id.as_str().to_owned(), moments);
        }
        Ok(state)
    }

    /// Shows every parameter of a node whose columns were shared among copies, before and after.
    fn consumers(
        &self,
        owner: &NodeId,
        (old, grown): (&Parameters, &Parameters),
        found: &mut dyn FnMut(&Consumer),
    ) -> Result<(), GrowthError> {
        let start = self.targets.partition_point(|target| self.position(&target.node.id) < self.position(owner));
        for Target { id, spec, origin, .. } in
            self.targets[start..].iter().take_while(|target| target.node.id == *owner)
        {
            let (Some(input), Origin::Old { maps, .. }) = (spec.consumes(), origin) else {
                continue;
            };
            if spec.kind != ParameterKind::Trained || maps.input.as_ref().is_none_or(|map| map.families.is_empty()) {
                continue;
            }
            let groups = spec.axes.iter().map(|role| role.groups()).max().unwrap_or(1);
            let (rows, dims) = (spec.channel_axes().out, spec.dims.as_slice());
            let (old, grown) = (known(old, id)?, known(grown, id)?);
            lend(old, |whole| {
                lend(grown, |split| found(&Consumer { input, groups, rows, dims, whole, split, maps }))
            })??;
        }
        Ok(())
    }

    fn position(&self, node: &NodeId) -> Option<usize> {
        self.step.student.position(node)
    }
}

/// A parameter that must be there.
pub(super) fn known<'a>(parameters: &'a Parameters, id: &ParameterId) -> Result<&'a Tensor, GrowthError> {
    parameters.get(id).ok_or_else(|| lacks(id))
}

fn lacks(id: &ParameterId) -> GrowthError {
    GrowthError::Mismatch(format!("it lacks {id}"))
}
