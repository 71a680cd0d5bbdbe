//! Drift: how far the copies of a unit part in their first steps of training.
//!
//! Copies that compute the same and are weighed the same get the same gradients for ever: they are capacity that is never
//! used (growth.md §3, no. 7 and 8). With unequal shares they part by themselves, without noise and without dropout. How
//! far is tried out on a copy of the student that is thrown away, and kept with the growth.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::compute::finite::lend;
use crate::compute::optimizer::{Optimizer, Rate};
use crate::compute::random::{Purpose, Random};
use crate::network::parameter::device_of;
use crate::network::{Mode, Network, ParameterId, Parameters, execute};

use super::apply::{GrowthError, State, known};
use super::certificate::Probe;
use super::mapping::{AxisMap, AxisMaps, ParameterMaps};
use super::plan::Plan;
use super::step::Step;

/// Steps that are tried.
const STEPS: u64 = 8;

/// The most rows of the batch.
const ROWS: usize = 64;

/// What was measured: over all sets of copies of one unit at one parameter, how far the weights that come into a copy moved
/// from those of the first, as a share of the first's length. What comes from copies below is summed, as copies of one
/// input weigh together: so the distance is 0 at the growth itself, whatever grew with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Sets of copies.
    pub families: usize,
    /// Steps of training that were tried, towards random targets.
    pub steps: u64,
    /// The mean distance of a set: the largest within it counts.
    pub mean: f64,
    /// The smallest: 0 where some copies stay together for ever.
    pub least: f64,
}

/// Trains a copy of the student for a few steps on the probe's rows. `None` where nothing was copied.
///
/// # Errors
/// A state that is not the plan's student's, probe rows of another size, a failure of the tensor library.
pub fn drift(
    plan: &Plan,
    teacher: &Network,
    student: &State,
    training: (&Optimizer, &Rate),
    probe: &Probe,
) -> Result<Option<Drift>, GrowthError> {
    let step = plan.steps.last().filter(|step| !step.growths.is_empty());
    let Some(step) = step else {
        return Ok(None);
    };
    let before = plan.steps.iter().rev().nth(1).map_or(teacher, |step| &step.student);
    let maps = copied(step, before)?;
    if maps.is_empty() {
        return Ok(None);
    }
    let trained = train(plan, student, training, probe)?;
    let mut distances = Vec::new();
    for (id, maps) in &maps {
        let old = folded(&student.parameters, id, maps)?;
        let new = folded(&trained, id, maps)?;
        let sets = maps.out.iter().flat_map(|out| out.sets());
        distances.extend(sets.map(|copies| distance(&old, &new, &copies)));
    }
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Some(Drift { families: distances.len(), steps: STEPS, mean, least }))
}

/// The weights that come into copied units.
fn copied(step: &Step, before: &Network) -> Result<BTreeMap<ParameterId, ParameterMaps>, GrowthError> {
    let (mut maps, mut axes) = (BTreeMap::new(), AxisMaps::new(step));
    for (node, specs) in before.owners() {
        for spec in specs.iter().filter(|spec| spec.consumes().is_some()) {
            let map = ParameterMaps::new(&mut axes, &node.id, &node.inputs, spec)?;
            if map.out.as_ref().is_some_and(|out| !out.families.is_empty()) {
                maps.insert(node.parameter(spec.name), map);
            }
        }
    }
    Ok(maps)
}

/// A few steps along a random direction of every row's logits, as any loss has one.
fn train(
    plan: &Plan,
    student: &State,
    (optimizer, rate): (&Optimizer, &Rate),
    probe: &Probe,
) -> Result<Parameters, GrowthError> {
    let network = plan.student();
    let device = device_of(&student.parameters);
    let rows: Vec<Vec<f32>> = probe.real_and_random(network)?.into_iter().take(ROWS).collect();
    let batch = Tensor::from_vec(rows.concat(), network.input().batched(rows.len()), &device)?;
    let mut random = Random::keyed(plan.seed, Purpose::Probe, 0, "drift");
    let mut state = student.clone();
    let born = state.optimizer.step;
    for step in born + 1..=born + STEPS {
        let pass = execute::forward(network, &state.parameters, &batch, Mode::Train { seed: plan.seed, step })?;
        let direction = (0..pass.output.elem_count()).map(|_| random.normal() as f32 / rows.len() as f32);
        let gradient = Tensor::from_vec(direction.collect::<Vec<f32>>(), pass.output.shape(), &device)?;
        let gradients = execute::backward(network, &state.parameters, pass, &gradient)?;
        for (id, gradient) in gradients {
            let parameter = &state.parameters[&id];
            let moments = match state.optimizer.moments.get_mut(id.as_str()) {
                Some(moments) => moments,
                // A learner that has not trained yet has no moments: they begin here as they will there.
                None => state
                    .optimizer
                    .moments
                    .entry(id.as_str().to_owned())
                    .or_insert(optimizer.moments(parameter, None, None, born)?),
            };
            let stepped = optimizer.update(parameter, &gradient, moments, step, rate)?;
            state.parameters.insert(id, stepped);
        }
    }
    Ok(state.parameters)
}

/// The rows of a weight, by copy: columns that copy one input summed, all other axes side by side.
fn folded(parameters: &Parameters, id: &ParameterId, maps: &ParameterMaps) -> Result<Vec<Vec<f64>>, GrowthError> {
    let tensor = known(parameters, id)?;
    let Some(out) = &maps.out else {
        return Ok(Vec::new());
    };
    let dims = tensor.dims();
    let place = |index: usize, axis: usize| index / dims[axis + 1..].iter().product::<usize>() % dims[axis];
    let rows = lend(tensor, |numbers| {
        let columns: usize = dims.iter().product::<usize>() / dims[out.axis];
        let mut rows = vec![vec![0.0; columns]; dims[out.axis]];
        let mut filled = vec![0usize; dims[out.axis]];
        let firsts = maps.input.as_ref().map(|input| firsts(input));
        for (index, &number) in numbers.iter().enumerate() {
            let row = place(index, out.axis);
            let column = filled[row];
            filled[row] += 1;
            let column = match (&maps.input, &firsts) {
                (Some(input), Some(firsts)) => {
                    let (at, stride) = (place(index, input.axis), stride(dims, out.axis, input.axis));
                    column - at * stride + firsts[at] * stride
                }
                _ => column,
            };
            rows[row][column] += f64::from(number);
        }
        rows
    })?;
    Ok(rows)
}

/// How far two neighbours along the input's axis are apart in a row.
fn stride(dims: &[usize], out: usize, input: usize) -> usize {
    let behind = dims.iter().enumerate().skip(input + 1).filter(|(axis, _)| *axis != out);
    behind.map(|(_, size)| size).product()
}

/// For every index the first that copies the same.
fn firsts(map: &AxisMap) -> Vec<usize> {
    let mut firsts: Vec<usize> = (0..map.sources.len()).collect();
    for copies in map.sets() {
        copies.iter().for_each(|&index| firsts[index] = copies[0]);
    }
    firsts
}

/// The largest distance of a copy from the first, less what rounding had made of it before, as a share of its length.
fn distance(old: &[Vec<f64>], new: &[Vec<f64>], family: &[usize]) -> f64 {
    let moved = |index: usize| new[index].iter().zip(&old[index]).map(|(new, old)| new - old);
    let first = family[0];
    let length = new[first].iter().map(|number| number * number).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let apart = |&index: &usize| moved(first).zip(moved(index)).map(|(one, other)| (one - other).powi(2)).sum::<f64>();
    family[1..].iter().map(apart).fold(0.0, f64::max).sqrt() / length
}
