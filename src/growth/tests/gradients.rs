//! The next step of a grown network beside its teacher's: what theory says is equal, is.
//!
//! Let g map new units to old ones. Copies of a unit are weighed by shares that sum to 1, so the gradients of its copies
//! sum to its own: for every weight W of the teacher and every column j of the student,
//! Σ over the copies r of a row of dL/dW'[r, j] = dL/dW[row, g(j)], whatever the shares, through every op. Where nothing
//! but zeros was added, the old weights' gradients are what they were.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::super::apply::{State, apply};
use super::super::mapping::{AxisMaps, ParameterMaps};
use super::super::*;
use super::fixtures::*;
use super::properties::config;
use crate::compute::optimizer::{Optimizer, Rate};
use crate::network::execute::{backward, forward};
use crate::network::op::ReferenceBatch;
use crate::network::samples::{Masks, graph};
use crate::network::{Mode, Network, ParameterId, ParameterKind, reference};

const ROWS: usize = 6;
const TRAINING: Mode = Mode::Train { seed: 1, step: 8 };
const RATE: f64 = 0.01;

type Gradients = BTreeMap<ParameterId, Vec<f64>>;

/// Rows for the network; with columns of zeros behind those of a network of fewer inputs.
fn rows(network: &Network, columns: usize) -> Vec<f32> {
    if network.input().plane().is_some() {
        return normals(ROWS * network.input().elements(), "step");
    }
    let known = normals(ROWS * columns, "step");
    let new = vec![0.0; network.input().elements() - columns];
    known.chunks(columns).flat_map(|row| [row, &new].concat()).collect()
}

/// The gradients of a loss whose gradient by the first `outputs` logits is fixed, and by others 0.
fn gradients(network: &Network, state: &State, columns: usize, outputs: usize) -> Gradients {
    let batch = Tensor::from_vec(rows(network, columns), network.input().batched(ROWS), &Device::Cpu).unwrap();
    let pass = forward(network, &state.parameters, &batch, TRAINING).unwrap();
    let fixed = normals(ROWS * outputs, "gradient");
    let none = vec![0.0; network.output_shape().elements() - outputs];
    let gradient: Vec<f32> = fixed.chunks(outputs).flat_map(|row| [row, &none].concat()).collect();
    let gradient = Tensor::from_vec(gradient, pass.output.shape(), &Device::Cpu).unwrap();
    let found = backward(network, &state.parameters, pass, &gradient).unwrap();
    let wide = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    found.iter().map(|(id, tensor)| (id.clone(), wide(tensor).into_iter().map(f64::from).collect())).collect()
}

/// The numbers of a student's parameter, those of the copies of a row summed, beside the teacher's numbers gathered along
/// the columns: pairs that theory says are equal. What copies nothing is left out.
fn paired(plan: &Plan, teacher: &Network, id: &ParameterId, old: &[f64], new: &[f64]) -> Vec<(f64, f64)> {
    let step = &plan.steps[0];
    let (node, spec) = teacher
        .owners()
        .flat_map(|(node, specs)| specs.iter().map(move |spec| (node, spec)))
        .find(|(node, spec)| node.parameter(spec.name) == *id)
        .unwrap();
    let maps = ParameterMaps::new(&mut AxisMaps::new(step), &node.id, &node.inputs, spec).unwrap();
    let (old_dims, new_dims) = (spec.dims.clone(), maps.dims(&spec.dims));
    let mut sums: BTreeMap<Vec<usize>, (f64, f64)> = BTreeMap::new();
    for (at, &number) in new.iter().enumerate() {
        let mut rest = at;
        let mut place = vec![0; new_dims.len()];
        for axis in (0..new_dims.len()).rev() {
            (place[axis], rest) = (rest % new_dims[axis], rest / new_dims[axis]);
        }
        let mut source = place.clone();
        let mut copies = true;
        for map in maps.iter() {
            match map.sources[place[map.axis]] {
                Some(from) => source[map.axis] = from,
                None => copies = false,
            }
        }
        if !copies {
            continue;
        }
        let from = source.iter().zip(&old_dims).fold(0, |sum, (index, size)| sum * size + index);
        // A sum over the copies of a row for every column of the student.
        if let Some(out) = &maps.out {
            place[out.axis] = source[out.axis];
        }
        let sum = sums.entry(place).or_insert((0.0, old[from]));
        sum.0 += number;
    }
    sums.into_values().collect()
}

/// As f32 holds sums of so many products; each pair against the largest number of its parameter and 1.
fn equal(pairs: &[(f64, f64)], what: &str) -> Result<(), TestCaseError> {
    let scale = pairs.iter().fold(1.0f64, |largest, (one, other)| largest.max(one.abs()).max(other.abs()));
    for (one, other) in pairs {
        prop_assert!((one - other).abs() <= 2e-3 * scale, "{what}: {one} and {other}, scale {scale}");
    }
    Ok(())
}

/// A planned growth of a random network, or `None` where it is refused or too large.
fn grown(network: &Network, request: &GrowthRequest, optimizer: &Optimizer) -> Option<(Plan, State, State)> {
    let planned = plan(network, request, 3).ok()?;
    let before = state(network, optimizer);
    let planned = measure(planned, network, &before.parameters, &probe(network)).unwrap();
    let after = apply(&planned, network, &before, optimizer).unwrap();
    Some((planned, before, after))
}

fn step(network: &Network, state: &State, gradients: &Gradients, optimizer: &Optimizer) -> Gradients {
    let mut moments = state.optimizer.moments.clone();
    let stepped = gradients.iter().map(|(id, gradient)| {
        let value = &state.parameters[id];
        let gradient: Vec<f32> = gradient.iter().map(|&number| number as f32).collect();
        let gradient = Tensor::from_vec(gradient, value.shape(), &Device::Cpu).unwrap();
        let moments = moments.get_mut(id.as_str()).unwrap();
        let next = state.optimizer.step + 1;
        let new = optimizer.update(value, &gradient, moments, next, &Rate::constant(RATE)).unwrap();
        let numbers = (new - value).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (id.clone(), numbers.into_iter().map(|number| f64::from(number) / RATE).collect())
    });
    let stepped: Gradients = stepped.collect();
    assert_eq!(stepped.len(), network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained).count());
    stepped
}

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![Just(Split::Replicate), Just(Split::Paper { noise: 0.0 }), Just(Split::Fresh)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_gradients_of_copies_sum_to_their_sources(seed in any::<u64>(), split in split(), factor in 1.1f64..2.5) {
        let network = graph(seed, Masks::None);
        let request = wider_all(factor, split);
        let Some((plan, before, after)) = grown(&network, &request, &Optimizer::SGD) else { return Ok(()) };
        let columns = network.input().elements();
        let old = gradients(&network, &before, columns, 3);
        let new = gradients(plan.student(), &after, columns, 3);
        for (id, old) in &old {
            equal(&paired(&plan, &network, id, old, &new[id]), &format!("{id} of {seed}"))?;
        }
    }

    #[test]
    fn the_next_step_of_copies_sums_to_their_sources_under_momentum(
        seed in any::<u64>(),
        split in split(),
        factor in 1.1f64..2.5,
    ) {
        let network = graph(seed, Masks::None);
        let optimizer = Optimizer::SGD;
        let Some((plan, before, after)) = grown(&network, &wider_all(factor, split), &optimizer) else { return Ok(()) };
        let columns = network.input().elements();
        let old = step(&network, &before, &gradients(&network, &before, columns, 3), &optimizer);
        let new = step(plan.student(), &after, &gradients(plan.student(), &after, columns, 3), &optimizer);
        for (id, old) in &old {
            equal(&paired(&plan, &network, id, old, &new[id]), &format!("{id} of {seed}"))?;
        }
    }

    #[test]
    fn what_only_adds_zeros_leaves_every_old_gradient(
        seed in any::<u64>(),
        which in 0usize..4,
    ) {
        let network = graph(seed, Masks::None);
        let kind = if which == 0 { DeeperKind::Identity } else { DeeperKind::Residual };
        let request = match which {
            0 | 1 => GrowthRequest::Deeper(Deeper::plain(Nodes::All, kind)),
            2 => GrowthRequest::Inputs { add: 2 },
            _ => GrowthRequest::Classes { add: 2, epsilon: 1e-3, log_sum_exp: 0.5 },
        };
        let Some((plan, before, after)) = grown(&network, &request, &Optimizer::ADAM) else { return Ok(()) };
        let columns = network.input().elements();
        let old = gradients(&network, &before, columns, 3);
        let new = gradients(plan.student(), &after, columns, 3);
        for (id, old) in &old {
            equal(&paired(&plan, &network, id, old, &new[id]), &format!("{id} of {seed}"))?;
        }
        // New rows and columns learn from the first step, or wait for what weighs them: never before they are born.
        for (name, moments) in &after.optimizer.moments {
            let zero = |tensor: &Option<Tensor>| tensor.as_ref().is_none_or(|tensor| {
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|number| *number == 0.0)
            });
            if !before.optimizer.moments.contains_key(name) {
                prop_assert!(zero(&moments.first) && zero(&moments.second));
                for births in [&moments.out_births, &moments.in_births].into_iter().flatten() {
                    prop_assert!(births.steps.iter().all(|step| *step == before.optimizer.step));
                }
            }
        }
    }

    #[test]
    fn the_gradients_of_a_whole_network_are_those_of_the_reference(seed in any::<u64>()) {
        let network = graph(seed, Masks::None);
        let state = state(&network, &Optimizer::SGD);
        let columns = network.input().elements();
        let found = gradients(&network, &state, columns, 3);
        let direction: Vec<f64> = normals(ROWS * 3, "gradient").into_iter().map(f64::from).collect();
        let values = rows(&network, columns).into_iter().map(f64::from).collect();
        let batch = ReferenceBatch { rows: ROWS, shape: network.input().clone(), values };
        let mut wide = reference::widen(&state.parameters).unwrap();
        let mut checked = 0;
        for (id, gradient) in &found {
            let scale = gradient.iter().fold(1.0f64, |largest, number| largest.max(number.abs()));
            for index in [0, gradient.len() / 2, gradient.len() - 1] {
                let at = wide[id][index];
                let mut difference = |distance: f64| {
                    let mut loss = |at: f64| {
                        wide.get_mut(id).unwrap()[index] = at;
                        let logits = reference::evaluate(&network, &wide, &batch, TRAINING).unwrap();
                        logits.values.iter().zip(&direction).map(|(logit, by)| logit * by).sum::<f64>()
                    };
                    (loss(at + distance) - loss(at - distance)) / (2.0 * distance)
                };
                let (far, near) = (difference(1e-5), difference(2.5e-6));
                wide.get_mut(id).unwrap()[index] = at;
                // A kink within reach shows in two distances that disagree: there is no one slope there.
                if (far - near).abs() <= 1e-4 * scale {
                    prop_assert!((near - gradient[index]).abs() <= 5e-3 * scale, "{id} {index}: {} {near}", gradient[index]);
                    checked += 1;
                }
            }
        }
        prop_assert!(checked * 2 >= found.len() * 3, "most slopes can be held against the reference");
    }
}

#[test]
fn an_equal_copy_steps_under_adam_as_its_source_would() {
    // Adam's step does not depend on a gradient's scale, so each of r copies with 1/r of it moves as the source (growth.md
    // §3, no. 20): births, both moments and their bias corrections must all have come along.
    for network in [mlp(&[4, 3]), cnn(&[2, 3]), flattened(), residual()] {
        for optimizer in [Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-20 }, Optimizer::RMSPROP] {
            let (plan, before, after) =
                grown(&network, &wider_all(2.0, Split::Paper { noise: 0.0 }), &optimizer).unwrap();
            let (columns, outputs) = (network.input().elements(), width(&network, "output"));
            let stepped = |network: &Network, state: &State| {
                step(network, state, &gradients(network, state, columns, outputs), &optimizer)
            };
            let (old, new) = (stepped(&network, &before), stepped(plan.student(), &after));
            for (id, old) in &old {
                let mean = new[id].iter().map(|number| number.abs()).sum::<f64>() / new[id].len() as f64;
                let expected = old.iter().map(|number| number.abs()).sum::<f64>() / old.len() as f64;
                // Before a BatchNorm a bias has no gradient but for rounding.
                assert!((mean - expected).abs() < 0.02 * expected + 1e-4, "{id}: {mean} {expected}");
            }
        }
    }
}

#[test]
fn moments_are_shared_where_rows_stand_behind_columns() {
    // An Embedding's weight is [in, out]: lines of one number, of which the rows come after the columns (once mistaken).
    let network = graph(2_008_024_742_892_546_400, Masks::None);
    let (_, before, after) = grown(&network, &wider_all(1.1, Split::Replicate), &Optimizer::SGD).unwrap();
    let first = |state: &State| {
        let first = state.optimizer.moments["n3_maxout/bias"].first.clone().unwrap();
        first.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (old, new) = (first(&before), first(&after));
    assert_eq!((old.len(), new.len()), (5, 6));
    assert!((new[0] + new[5] - old[0]).abs() < 1e-6, "{} {} {}", new[0], new[5], old[0]);
}
