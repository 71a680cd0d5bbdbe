//! Training state: moments and births grow with the weights.

use candle_core::{Device, Tensor};

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::{Optimizer, Rate};
use crate::network::execute::{backward, forward};
use crate::network::ops::concat::Concat;
use crate::network::ops::linear::Linear;
use crate::network::ops::split;
use crate::network::{Mode, Network, ParameterId, Shape};

const EQUAL: Split = Split::Paper { noise: 0.0 };

/// One step on a fixed batch and loss, whose gradient by the logits is the batch's first columns.
fn step(network: &Network, state: &State, optimizer: &Optimizer) -> State {
    let rows = 6;
    let input = normals(rows * network.input().elements(), "step");
    let batch = Tensor::from_vec(input, network.input().batched(rows), &Device::Cpu).unwrap();
    let pass = forward(network, &state.parameters, &batch, Mode::Train { seed: 1, step: 8 }).unwrap();
    let gradient = Tensor::from_vec(normals(pass.output.elem_count(), "gradient"), pass.output.shape(), &Device::Cpu);
    let gradients = backward(network, &state.parameters, pass, &gradient.unwrap()).unwrap();
    let mut after = state.clone();
    after.optimizer.step += 1;
    for (id, gradient) in gradients {
        let moments = after.optimizer.moments.get_mut(id.as_str()).unwrap();
        let value = &state.parameters[&id];
        let stepped = optimizer.update(value, &gradient, moments, after.optimizer.step, &Rate::constant(0.01)).unwrap();
        after.parameters.insert(id, stepped);
    }
    after
}

fn moments(state: &State, parameter: &str) -> (Vec<f32>, Vec<f32>) {
    let moments = &state.optimizer.moments[parameter];
    let numbers = |tensor: &Option<Tensor>| {
        tensor.as_ref().map_or(Vec::new(), |tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
    };
    (numbers(&moments.first), numbers(&moments.second))
}

fn assert_close(one: &[f32], other: &[f32], what: &str) {
    assert_eq!(one.len(), other.len());
    let scale = one.iter().fold(1e-3f32, |largest, number| largest.max(number.abs()));
    for (one, other) in one.iter().zip(other) {
        assert!((one - other).abs() <= 2e-5 * scale, "{what}: {one} {other}");
    }
}

#[test]
fn with_equal_shares_the_moments_of_a_step_and_a_growth_commute() {
    for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::RMSPROP] {
        for network in [mlp(&[4, 3]), cnn(&[2, 3]), flattened(), residual()] {
            let before = state(&network, &optimizer);
            let plan = plan(&network, &wider_all(2.0, EQUAL), 5).unwrap();
            let grow = |state: &State| apply(&plan, &network, state, &optimizer).unwrap();
            let stepped_first = grow(&step(&network, &before, &optimizer));
            let grown_first = step(plan.student(), &grow(&before), &optimizer);
            for name in stepped_first.optimizer.moments.keys() {
                let (one, other) = (moments(&stepped_first, name), moments(&grown_first, name));
                assert_close(&one.0, &other.0, name);
                assert_close(&one.1, &other.1, name);
            }
        }
    }
}

#[test]
fn the_estimated_shares_of_unequal_copies_sum_to_their_source() {
    let network = mlp(&[4, 3]);
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, _) = grow(&network, &before, &wider(&["hidden1"], Extent::To(8), Split::Replicate));
    let growth = &plan.steps[0].growths[0];
    let (old, new) = (moments(&before, "hidden1/bias"), moments(&after, "hidden1/bias"));
    let mut sums = vec![0.0; 4];
    (0..8).for_each(|index| sums[growth.source(index).unwrap()] += new.0[index]);
    assert_close(&sums, &old.0, "first moments");
    assert!((0..4).all(|unit| new.1[unit] > 0.0 && new.1[unit] < old.1[unit]));
    let expected =
        |index: usize| estimate(&before, &after, "hidden2/weight", &[(4, growth.source(index).unwrap(), 8, index)]);
    for index in 0..8 {
        let unit = growth.source(index).unwrap();
        let (first, second) = expected(index);
        assert_close(&[new.0[index]], &[old.0[unit] * first], "first");
        assert_close(&[new.1[index]], &[old.1[unit] * second], "second");
    }
}

/// The estimate of the contract from the weights of one consumer: over columns given as (old row length, old column, new
/// row length, new column).
fn estimate(before: &State, after: &State, weight: &str, columns: &[(usize, usize, usize, usize)]) -> (f32, f32) {
    let (old, new) = (numbers(before, weight), numbers(after, weight));
    let (mut first, mut second, mut sum) = (0.0f64, 0.0, 0.0);
    for &(old_length, old_column, new_length, new_column) in columns {
        let wholes = old.chunks(old_length).map(|row| f64::from(row[old_column]));
        let parts = new.chunks(new_length).map(|row| f64::from(row[new_column]));
        for (whole, part) in wholes.zip(parts) {
            (first, second, sum) = (first + whole * part, second + part * part, sum + whole * whole);
        }
    }
    ((first / sum) as f32, (second / sum) as f32)
}

#[test]
fn shares_are_estimated_over_blocks_and_over_every_range_of_a_concatenation() {
    let network = flattened();
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, _) = grow(&network, &before, &wider(&["conv"], Extent::To(6), Split::Replicate));
    let block = |unit: usize, index: usize| (0..6).map(move |offset| (18, unit * 6 + offset, 36, index * 6 + offset));
    check_bias(&plan, &before, &after, ("conv/bias", "hidden/weight"), |unit, index| block(unit, index).collect());
    check_bias(&plan, &before, &after, ("norm/scale", "hidden/weight"), |unit, index| block(unit, index).collect());

    let nodes = vec![
        node("a", Linear { out: 3 }, &["input"]),
        node("b", Linear { out: 2 }, &["input"]),
        node("joined", Concat, &["a", "b", "a"]),
        node("part", split::Split { start: 2, end: 8 }, &["joined"]),
        node("output", Linear { out: 3 }, &["part"]),
    ];
    let network = Network::new(Shape::flat(4), nodes).unwrap();
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, certificate) = grow(&network, &before, &wider(&["a"], Extent::Factor(2.0), Split::Replicate));
    assert!(certificate.preserved);
    // The first two units of `a` are cut off in the first range: only the third enters the output twice.
    assert_eq!(plan.steps[0].growths.iter().map(UnitGrowth::grown).collect::<Vec<_>>(), [4, 2]);
    let (old, new) = (moments(&before, "a/bias").0, moments(&after, "a/bias").0);
    for copy in 0..2 {
        let (first, _) = estimate(&before, &after, "output/weight", &[(6, 0, 10, copy), (6, 5, 10, 8 + copy)]);
        assert_close(&[new[4 + copy]], &[old[2] * first], "the third unit");
    }
    for (index, &number) in new[..4].iter().enumerate() {
        let unit = plan.steps[0].growths[0].source(index).unwrap();
        let (first, _) = estimate(&before, &after, "output/weight", &[(6, 3 + unit, 10, 4 + index)]);
        assert_close(&[number], &[old[unit] * first], "the first two units");
    }
}

/// Holds the moments of a parameter by channel against the estimate; `columns` are those of (old unit, new unit).
fn check_bias(
    plan: &Plan,
    before: &State,
    after: &State,
    (bias, weight): (&str, &str),
    columns: impl Fn(usize, usize) -> Vec<(usize, usize, usize, usize)>,
) {
    let (old, new) = (moments(before, bias), moments(after, bias));
    for index in 0..plan.steps[0].growths[0].grown() {
        let unit = plan.steps[0].growths[0].source(index).unwrap();
        let (first, second) = estimate(before, after, weight, &columns(unit, index));
        assert_close(&[new.0[index]], &[old.0[unit] * first], bias);
        assert_close(&[new.1[index]], &[old.1[unit] * second], bias);
    }
}

#[test]
fn units_that_nothing_weighs_share_equally() {
    let network = mlp(&[4]);
    let mut before = state(&network, &Optimizer::ADAM);
    let output = ParameterId::from_stored("output/weight");
    before.parameters.insert(output.clone(), before.parameters[&output].zeros_like().unwrap());
    let (_, after, _) = grow(&network, &before, &wider(&["hidden1"], Extent::To(8), Split::Replicate));
    let (old, new) = (moments(&before, "hidden1/bias"), moments(&after, "hidden1/bias"));
    assert_close(&new.0[..4], &old.0.iter().map(|number| number / 2.0).collect::<Vec<_>>(), "first");
    assert_close(&new.1[..4], &old.1.iter().map(|number| number / 4.0).collect::<Vec<_>>(), "second");
}

#[test]
fn a_consumers_moments_are_gathered_unscaled() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, _) = grow(&network, &before, &wider(&["hidden1"], Extent::To(7), Split::Replicate));
    let (old, new) = (moments(&before, "output/weight"), moments(&after, "output/weight"));
    for (index, number) in new.0.iter().enumerate() {
        let source = plan.steps[0].growths[0].source(index % 7).unwrap();
        assert_eq!((*number, new.1[index]), (old.0[index / 7 * 4 + source], old.1[index / 7 * 4 + source]));
    }
}

#[test]
fn copies_inherit_their_sources_birth_and_what_starts_empty_is_born_now() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let births = |state: &State, parameter: &str| {
        let moments = &state.optimizer.moments[parameter];
        let steps = |births: &Option<crate::compute::optimizer::AxisBirths>| births.as_ref().map(|b| b.steps.clone());
        (steps(&moments.out_births).unwrap(), steps(&moments.in_births).unwrap_or_default())
    };
    let (plan, copied, _) = grow(&network, &before, &wider(&["hidden1"], Extent::To(6), Split::Replicate));
    let sources: Vec<u64> = (0..6).map(|index| plan.steps[0].growths[0].source(index).unwrap() as u64).collect();
    assert_eq!(births(&copied, "hidden1/weight"), (sources.clone(), vec![0, 1, 2, 3, 4]));
    assert_eq!(births(&copied, "hidden1/bias").0, sources);
    assert_eq!(births(&copied, "output/weight"), (vec![0, 1, 2], sources));

    let (_, fresh, _) = grow(&network, &before, &wider(&["hidden1"], Extent::To(6), Split::Fresh));
    assert_eq!(births(&fresh, "hidden1/weight").0, [0, 1, 2, 3, 7, 7]);
    assert_eq!(births(&fresh, "output/weight").1, [0, 1, 2, 3, 7, 7]);
    assert_eq!(moments(&fresh, "hidden1/bias").0[..4], moments(&before, "hidden1/bias").0[..]);
    assert_eq!(moments(&fresh, "hidden1/bias").0[4..], [0.0, 0.0]);
    assert!(moments(&fresh, "output/weight").1.chunks(6).all(|row| row[4..] == [0.0, 0.0] && row[0] > 0.0));

    let (_, inputs, _) = grow(&network, &before, &GrowthRequest::Inputs { add: 2 });
    assert_eq!(births(&inputs, "hidden1/weight"), (vec![0, 1, 2, 3], vec![0, 1, 2, 3, 4, 7, 7]));
    let (_, classes, _) = grow(&network, &before, &GrowthRequest::Classes { add: 1, epsilon: 0.1, log_sum_exp: 0.0 });
    assert_eq!(births(&classes, "output/bias").0, [0, 1, 2, 7]);
    assert_eq!(moments(&classes, "output/bias").0[3], 0.0);
}

#[test]
fn an_inserted_layer_is_born_now_and_the_rest_keeps_its_state() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let (_, after, _) = grow(&network, &before, &deeper(&["hidden1"], DeeperKind::Residual));
    let new = &after.optimizer.moments["hidden1_deeper1/weight"];
    assert_eq!(new.out_births.as_ref().unwrap().steps, [7; 4]);
    assert_eq!(new.in_births.as_ref().unwrap().steps, [7; 4]);
    assert!(moments(&after, "hidden1_deeper1/weight").1.iter().all(|number| *number == 0.0));
    assert_eq!(after.optimizer.step, 7);
    for name in before.optimizer.moments.keys() {
        assert_eq!(moments(&after, name), moments(&before, name));
    }
}

#[test]
fn unequal_copies_part_in_their_first_step_and_equal_ones_never() {
    let network = mlp(&[2]);
    let before = state(&network, &Optimizer::SGD);
    let apart = |split| {
        let plan = plan(&network, &wider(&["hidden1"], Extent::To(4), split), 5).unwrap();
        let grown = apply(&plan, &network, &before, &Optimizer::SGD).unwrap();
        let rows = numbers(&step(plan.student(), &grown, &Optimizer::SGD), "hidden1/weight");
        rows[..10].iter().zip(&rows[10..]).map(|(one, copy)| (one - copy).abs()).fold(0.0f32, f32::max)
    };
    assert!(apart(Split::Replicate) > 1e-5);
    assert!(apart(EQUAL) < 1e-7);
}

#[test]
fn a_state_without_moments_grows_too() {
    let network = mlp(&[4]);
    let mut before = state(&network, &Optimizer::ADAM);
    before.optimizer.moments.clear();
    let (_, after, certificate) = grow(&network, &before, &wider_all(2.0, Split::Replicate));
    assert!(certificate.preserved && after.optimizer.moments.is_empty());
}

#[test]
fn any_number_of_threads_grows_weights_and_moments_to_the_same_bits() {
    // Large enough for several stripes and several partial sums of influence.
    let network = mlp(&[640, 640]);
    let before = state(&network, &Optimizer::ADAM);
    let planned = plan(&network, &wider_all(2.0, Split::Replicate), 5).unwrap();
    let grown = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| apply(&planned, &network, &before, &Optimizer::ADAM)).unwrap()
    };
    let bits = |tensor: &Tensor| -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let (one, four) = (grown(1), grown(4));
    assert!(one.parameters.iter().all(|(id, value)| bits(value) == bits(&four.parameters[id])));
    for (id, moments) in &one.optimizer.moments {
        let other = &four.optimizer.moments[id];
        assert_eq!(moments.first.as_ref().map(bits), other.first.as_ref().map(bits), "{id}");
        assert_eq!(moments.second.as_ref().map(bits), other.second.as_ref().map(bits), "{id}");
    }
}
