//! Steps of whole networks that have grown: weight decay, and what is born later beside what was there.

use candle_core::{Device, Tensor};

use crate::compute::optimizer::{Optimizer, Rate, Warmup};
use crate::compute::random::{Purpose, Random};
use crate::growth::{self, Extent, GrowthRequest, Nodes, Split, State, Wider};
use crate::network::builders::NetworkSpec;
use crate::network::initialize::initialize;
use crate::network::{Network, ParameterId, Shape};
use crate::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state, step};

const OPTIMIZERS: [Optimizer; 3] = [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP];
const RATE: Rate = Rate { warmup: Warmup { factor: 0.1, steps: 50 }, ..Rate::constant(0.05) };

fn batch(network: &Network, classes: &[u32], step: u64) -> Batch {
    let mut random = Random::keyed(3, Purpose::Probe, step, "batch");
    let rows = classes.len();
    let numbers: Vec<f32> = (0..rows * network.input().elements()).map(|_| random.normal() as f32).collect();
    let inputs = Tensor::from_vec(numbers, network.input().batched(rows), &Device::Cpu).unwrap();
    Batch { inputs, targets: StepTargets::Classes(classes.to_vec()) }
}

fn steps(network: &Network, state: &State, classes: &[u32], rule: &StepRule) -> State {
    let mut state = state.clone();
    for _ in 0..3 {
        let batch = batch(network, classes, state.optimizer.step);
        assert!(matches!(step(network, &mut state, &batch, rule).unwrap(), StepOutcome::Done { .. }));
    }
    state
}

/// A network that has learned for a few steps.
fn learned(spec: &NetworkSpec, input: &Shape, optimizer: Optimizer) -> (Network, State) {
    let network = spec.build(input, 3).unwrap();
    let state = first_state(&network, initialize(&network, 5, &Device::Cpu).unwrap(), &optimizer).unwrap();
    let rule = StepRule::plain(optimizer, Rate::constant(0.05), 1);
    let state = steps(&network, &state, &[0, 1, 2, 0], &rule);
    (network, state)
}

fn mlp(optimizer: Optimizer) -> (Network, State) {
    learned(&NetworkSpec::Mlp { hidden: vec![5], dropout: 0.0 }, &Shape::flat(4), optimizer)
}

fn cnn(optimizer: Optimizer) -> (Network, State) {
    learned(&NetworkSpec::Cnn { channels: vec![3] }, &Shape::image(1, 4, 4), optimizer)
}

fn numbers(state: &State, parameter: &str) -> Vec<f32> {
    state.parameters[&ParameterId::from_stored(parameter)].flatten_all().unwrap().to_vec1().unwrap()
}

fn grow(network: &Network, state: &State, request: &GrowthRequest, optimizer: Optimizer) -> (Network, State) {
    let plan = growth::plan(network, request, 7).unwrap();
    let state = growth::apply(&plan, network, state, &optimizer).unwrap();
    (plan.student().clone(), state)
}

#[test]
fn after_new_classes_everything_old_steps_as_it_would_have() {
    for optimizer in OPTIMIZERS {
        let (network, state) = mlp(optimizer);
        // So unlikely that its probability is no part of an f32 sum: the old logits' gradients stay, bit for bit.
        let request = GrowthRequest::Classes { add: 1, epsilon: 1e-30, log_sum_exp: 0.0 };
        let (student, grown) = grow(&network, &state, &request, optimizer);
        let rule = StepRule::plain(optimizer, Rate { decay: 0.1, ..RATE }, 1);
        let without = steps(&network, &state, &[0, 2, 1, 1], &rule);
        let with = steps(&student, &grown, &[0, 2, 1, 1], &rule);
        for id in without.parameters.keys() {
            let (old, new) = (numbers(&without, id.as_str()), numbers(&with, id.as_str()));
            assert_eq!(old, new[..old.len()], "{optimizer:?} {id}");
        }
    }
}

#[test]
fn a_new_class_alone_is_warmed_up() {
    for optimizer in OPTIMIZERS {
        let (network, state) = mlp(optimizer);
        let request = GrowthRequest::Classes { add: 1, epsilon: 1e-3, log_sum_exp: 0.0 };
        let (student, grown) = grow(&network, &state, &request, optimizer);
        let moved = |rate: Rate| {
            let mut after = grown.clone();
            let rule = StepRule::plain(optimizer, rate, 1);
            step(&student, &mut after, &batch(&student, &[0, 3, 3, 1], 8), &rule).unwrap();
            let weights = numbers(&after, "output/weight").into_iter().zip(numbers(&grown, "output/weight"));
            weights.map(|(after, before)| after - before).collect::<Vec<f32>>()
        };
        let (warmed, whole) = (moved(RATE), moved(Rate::constant(RATE.base)));
        let old = numbers(&state, "output/weight").len();
        assert_eq!(warmed[..old], whole[..old], "{optimizer:?}");
        assert!(whole[old..].iter().any(|step| step.abs() > 1e-3));
        for (step, whole) in warmed[old..].iter().zip(&whole[old..]) {
            assert!((step - 0.1 * whole).abs() <= 1e-6 * whole.abs(), "{optimizer:?}: {step} of {whole}");
        }
    }
}

#[test]
fn weights_decay_and_biases_scales_and_statistics_do_not() {
    for optimizer in OPTIMIZERS {
        let (network, state) = cnn(optimizer);
        let after = |decay| {
            let rule = StepRule::plain(optimizer, Rate { decay, ..RATE }, 1);
            let mut after = state.clone();
            step(&network, &mut after, &batch(&network, &[0, 1, 2, 2], 9), &rule).unwrap();
            after
        };
        let (plain, decayed) = (after(0.0), after(0.2));
        let mut weights = 0;
        for (id, spec) in network.parameters() {
            let shrinks = if spec.name == "weight" { 0.2 * RATE.base as f32 } else { 0.0 };
            weights += usize::from(spec.name == "weight");
            let before = numbers(&state, id.as_str());
            let pairs = numbers(&plain, id.as_str()).into_iter().zip(numbers(&decayed, id.as_str()));
            for ((plain, decayed), before) in pairs.zip(before) {
                assert!((plain - decayed - shrinks * before).abs() < 1e-6, "{optimizer:?} {id}: {plain} {decayed}");
                assert!(shrinks > 0.0 || plain == decayed, "{optimizer:?} {id}");
            }
        }
        assert_eq!(weights, 2);
    }
}

/// The state after steps of decay alone: no gradient and no moment moves anything.
fn faded(network: &Network, state: &State, optimizer: Optimizer, rate: &Rate) -> State {
    let mut state = state.clone();
    for (id, _) in network.parameters().filter(|(_, spec)| spec.consumes().is_some()) {
        let weight = &state.parameters[&id];
        let mut moments = state.optimizer.moments[id.as_str()].clone();
        moments.first = moments.first.map(|first| first.zeros_like().unwrap());
        let (still, mut weight) = (weight.zeros_like().unwrap(), weight.clone());
        for step in state.optimizer.step + 1..=state.optimizer.step + 20 {
            weight = optimizer.update(&weight, &still, &mut moments, step, rate).unwrap();
        }
        state.parameters.insert(id, weight);
    }
    state
}

#[test]
fn decay_and_a_split_by_any_shares_commute() {
    let rate = Rate { base: 0.1, decay: 0.3, ..RATE };
    for optimizer in OPTIMIZERS {
        for (network, state) in [mlp(optimizer), cnn(optimizer)] {
            for split in [Split::Replicate, Split::Paper { noise: 0.0 }] {
                let wider = Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split };
                let request = GrowthRequest::Wider(wider);
                let (student, grown) = grow(&network, &state, &request, optimizer);
                let (_, grown_last) = grow(&network, &faded(&network, &state, optimizer, &rate), &request, optimizer);
                let grown_first = faded(&student, &grown, optimizer, &rate);
                for id in grown_last.parameters.keys() {
                    let (one, other) = (numbers(&grown_first, id.as_str()), numbers(&grown_last, id.as_str()));
                    assert_eq!(one.len(), other.len());
                    let close = |(one, other): (f32, f32)| (one - other).abs() <= 1e-5 * one.abs().max(1e-3);
                    assert!(one.into_iter().zip(other).all(close), "{optimizer:?} {id}");
                }
            }
        }
    }
}
