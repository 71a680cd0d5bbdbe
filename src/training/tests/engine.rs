//! The engine against tensors: the same steps, the same states to the bit on the way from one to the other and back, and
//! nothing of a step that is not finite.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use crate::compute::optimizer::{Optimizer, Rate, Warmup};
use crate::compute::random::{Purpose, Random};
use crate::growth::{self, Deeper, DeeperKind, Extent, GrowthRequest, Nodes, Split, State, Wider};
use crate::network::builders::NetworkSpec;
use crate::network::execute::evaluate;
use crate::network::initialize::initialize;
use crate::network::program::TrainingProgram;
use crate::network::samples::{Masks, graph};
use crate::network::{Network, Shape};
use crate::stream::Seq;
use crate::training::averages;
use crate::training::encoded::{EncodedLabels, EncodedRows};
use crate::training::engine::Engine;
use crate::training::learned::Learned;
use crate::training::rescale::{Rescaling, rescale};
use crate::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state, step};

/// Large for an ε: with a small one a gradient that is nothing but rounding would make a whole step.
const EPSILON: f64 = 0.01;

const OPTIMIZERS: [Optimizer; 3] = [
    Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: EPSILON },
    Optimizer::SGD,
    Optimizer::RmsProp { decay: 0.99, epsilon: EPSILON },
];

/// A rule with everything: warm-up by birth, decay, clipping that clips, averages.
fn rule(optimizer: Optimizer) -> StepRule {
    let warmup = Warmup { factor: 0.1, steps: 5 };
    let rate = Rate { warmup, restarted: Some(4), decay: 0.1, ..Rate::constant(0.02) };
    StepRule { optimizer, rate, seed: 5, clip_norm: Some(0.5), average_decay: 0.9 }
}

/// The batch of a step.
fn batch(network: &Network, rows: usize, step: u64) -> Batch {
    let mut random = Random::keyed(3, Purpose::Probe, step, "batch");
    let numbers: Vec<f32> = (0..rows * network.input().elements()).map(|_| random.normal() as f32).collect();
    let classes = network.shape(&network.output().id).unwrap().channels();
    let inputs = Tensor::from_vec(numbers, network.input().batched(rows), &Device::Cpu).unwrap();
    let targets = match classes {
        1 => StepTargets::Numbers((0..rows).map(|row| row as f32 * 0.3 - 0.4).collect()),
        _ => StepTargets::Classes((0..rows).map(|_| random.below(classes) as u32).collect()),
    };
    Batch { inputs, targets }
}

/// Whether a state keeps averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Averages {
    Kept,
    None,
}

fn start(network: &Network, optimizer: Optimizer, averages: Averages) -> State {
    let parameters = initialize(network, 1, &Device::Cpu).unwrap();
    let mut state = first_state(network, parameters, &optimizer).unwrap();
    for (id, moments) in state.optimizer.moments.iter_mut().filter(|_| averages == Averages::Kept) {
        let parameter = state.parameters.iter().find(|(name, _)| name.as_str() == id).unwrap().1;
        moments.average = Some(parameter.affine(0.9, 0.01).unwrap());
    }
    state
}

fn engine(network: &Network, state: &State, rows: usize) -> Engine {
    Engine::load(TrainingProgram::compile(network, rows), state).unwrap()
}

fn done(outcome: StepOutcome) -> f64 {
    match outcome {
        StepOutcome::Done { loss } => loss,
        other => panic!("{other:?}"),
    }
}

/// So many steps on an engine, from whatever its memory holds.
fn steps(engine: &mut Engine, network: &Network, count: u64, rule: &StepRule) {
    for number in engine.steps() + 1..engine.steps() + 1 + count {
        engine.spoil();
        done(engine.step(&batch(network, 4, number), rule).unwrap());
    }
}

/// Every number of a state by name, and all births.
fn content(state: &State) -> (Vec<(String, Vec<f32>)>, String) {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut numbers: Vec<(String, Vec<f32>)> =
        state.parameters.iter().map(|(id, value)| (id.to_string(), flat(value))).collect();
    let mut births = format!("{}", state.optimizer.step);
    for (id, moments) in &state.optimizer.moments {
        let kinds = [("first", &moments.first), ("second", &moments.second), ("average", &moments.average)];
        for (kind, tensor) in kinds.into_iter().filter_map(|(kind, tensor)| Some((kind, tensor.as_ref()?))) {
            numbers.push((format!("{id} {kind}"), flat(tensor)));
        }
        births += &format!(" {id} {:?} {:?}", moments.out_births, moments.in_births);
    }
    (numbers, births)
}

fn bits(state: &State) -> (Vec<(String, Vec<u32>)>, String) {
    let (numbers, births) = content(state);
    let of = |(name, values): (String, Vec<f32>)| (name, values.iter().map(|value| value.to_bits()).collect());
    (numbers.into_iter().map(of).collect(), births)
}

fn assert_near(found: &State, expected: &State, what: &str) {
    let ((found, found_births), (expected, births)) = (content(found), content(expected));
    assert_eq!(found_births, births, "{what}");
    assert_eq!(found.len(), expected.len());
    for ((name, found), (of, expected)) in found.iter().zip(&expected) {
        assert_eq!((name, found.len()), (of, expected.len()), "{what}");
        let scale = expected.iter().fold(1e-2f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-4 * scale, "{what}, {name}: {found} instead of {expected}");
        }
    }
}

fn networks() -> [Network; 3] {
    [
        NetworkSpec::Mlp { hidden: vec![9, 5], dropout: 0.2 }.build(&Shape::flat(4), 3).unwrap(),
        NetworkSpec::Mlp { hidden: vec![6], dropout: 0.0 }.build(&Shape::flat(3), 1).unwrap(),
        NetworkSpec::Cnn { channels: vec![3, 4] }.build(&Shape::image(2, 6, 5), 3).unwrap(),
    ]
}

/// A state after steps, a growth and more steps: of two networks, with elements of several ages.
fn grown(network: &Network, optimizer: Optimizer, averages: Averages) -> (Network, State) {
    let mut older = engine(network, &start(network, optimizer, averages), 4);
    steps(&mut older, network, 3, &rule(optimizer));
    let (mut network, mut state) = (network.clone(), older.state().unwrap());
    let wider = Wider { nodes: Nodes::All, extent: Extent::Factor(1.5), split: Split::Fresh };
    let deeper = Deeper::plain(Nodes::All, DeeperKind::Residual);
    for request in [GrowthRequest::Wider(wider), GrowthRequest::Deeper(deeper)] {
        let plan = growth::plan(&network, &request, 7).unwrap();
        state = growth::apply(&plan, &network, &state, &optimizer).unwrap();
        network = plan.student().clone();
    }
    (network, state)
}

#[test]
fn steps_on_the_engine_are_those_on_tensors() {
    for optimizer in OPTIMIZERS {
        for (network, averages) in networks().iter().flat_map(|one| [(one, Averages::Kept), (one, Averages::None)]) {
            let rule = rule(optimizer);
            for (network, mut state) in
                [(network.clone(), start(network, optimizer, averages)), grown(network, optimizer, averages)]
            {
                let mut engine = engine(&network, &state, 7);
                for _ in 0..6 {
                    let batch = batch(&network, 5, state.optimizer.step);
                    let expected = done(step(&network, &mut state, &batch, &rule).unwrap());
                    let loss = done(engine.step(&batch, &rule).unwrap());
                    assert!((loss - expected).abs() <= 1e-5 * expected.max(1.0), "{loss} instead of {expected}");
                    assert_near(&engine.state().unwrap(), &state, &format!("{optimizer:?} {averages:?}"));
                }
                let published = engine.published().unwrap();
                let of_tensors = averages::published(&state);
                for (id, value) in of_tensors.iter() {
                    let apart = (value - &published[id]).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
                    assert!(apart.to_scalar::<f32>().unwrap() < 1e-4, "{id}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_detour_over_tensors_changes_no_bit_and_neither_does_the_number_of_threads(
        seed in any::<u32>(), which in 0usize..3, kept in any::<bool>(),
    ) {
        let network = graph(u64::from(seed), Masks::Some);
        let optimizer = OPTIMIZERS[which];
        let state = start(&network, optimizer, if kept { Averages::Kept } else { Averages::None });
        let rule = rule(optimizer);
        let loaded = engine(&network, &state, 4);
        prop_assert_eq!(bits(&loaded.state().unwrap()), bits(&state));
        let mut expected = None;
        for threads in [1, 2, 5] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (straight, detour) = pool.install(|| {
                let mut straight = engine(&network, &state, 4);
                steps(&mut straight, &network, 4, &rule);
                let mut before = engine(&network, &state, 4);
                steps(&mut before, &network, 2, &rule);
                let mut after = engine(&network, &before.state().unwrap(), 9);
                steps(&mut after, &network, 1, &rule);
                after.make_room(&network, 11);
                steps(&mut after, &network, 1, &rule);
                (bits(&straight.state().unwrap()), bits(&after.state().unwrap()))
            });
            prop_assert_eq!(&straight, &detour);
            prop_assert_eq!(expected.get_or_insert(straight.clone()), &straight);
        }
    }

    #[test]
    fn the_engine_and_tensors_are_rescaled_to_the_same_bits(
        ratio in 0.01f64..100.0, shift in -5.0f64..5.0, which in 0usize..3, kept in any::<bool>(),
    ) {
        let [_, network, _] = networks();
        let optimizer = OPTIMIZERS[which];
        let averages = if kept { Averages::Kept } else { Averages::None };
        let mut engine = engine(&network, &start(&network, optimizer, averages), 4);
        steps(&mut engine, &network, 3, &rule(optimizer));
        let mut state = engine.state().unwrap();
        let rescaling = Rescaling { ratio, shift };
        rescale(&network, &mut state, &rescaling).unwrap();
        engine.rescale(&network, &rescaling).unwrap();
        prop_assert_eq!(bits(&engine.state().unwrap()), bits(&state));
    }
}

#[test]
fn a_step_that_is_not_finite_changes_no_bit_of_the_engine() {
    for (network, optimizer) in networks().iter().flat_map(|one| OPTIMIZERS.map(|optimizer| (one, optimizer))) {
        let rule = rule(optimizer);
        let mut engine = engine(network, &start(network, optimizer, Averages::Kept), 4);
        steps(&mut engine, network, 2, &rule);
        let before = engine.state().unwrap();
        let good = batch(network, 4, 9);
        let mut numbers: Vec<f32> = good.inputs.flatten_all().unwrap().to_vec1().unwrap();
        let huge = vec![1e38; numbers.len()];
        numbers[3] = f32::NAN;
        let bad = |values: Vec<f32>| {
            let inputs = Tensor::from_vec(values, good.inputs.shape(), &Device::Cpu).unwrap();
            Batch { inputs, ..good.clone() }
        };
        let wild = StepRule { rate: Rate::constant(f64::from(f32::MAX) * 1e10), ..rule };
        for (batch, rule) in [(&bad(numbers), &rule), (&bad(huge), &rule), (&good, &wild)] {
            let outcome = engine.step(batch, rule).unwrap();
            assert!(matches!(outcome, StepOutcome::NonFinite { .. }), "{outcome:?}");
            assert_eq!(bits(&engine.state().unwrap()), bits(&before));
        }
        let unknown = Batch { targets: StepTargets::Classes(vec![0, 1, 0, 77]), ..good.clone() };
        assert!(engine.step(&unknown, &rule).is_err());
        assert_eq!(bits(&engine.state().unwrap()), bits(&before));
        let mut undisturbed = self::engine(network, &before, 4);
        for engine in [&mut engine, &mut undisturbed] {
            done(engine.step(&good, &rule).unwrap());
        }
        assert_eq!(bits(&engine.state().unwrap()), bits(&undisturbed.state().unwrap()));
    }
}

#[test]
fn moments_that_are_missing_or_of_another_shape_are_refused() {
    let [network, other, _] = networks();
    let whole = start(&network, Optimizer::ADAM, Averages::Kept);
    let load = |state: &State| Engine::load(TrainingProgram::compile(&network, 4), state).map(drop);
    assert!(load(&whole).is_ok());
    assert!(load(&start(&other, Optimizer::ADAM, Averages::None)).is_err());
    let without = |change: fn(&mut crate::compute::optimizer::Moments)| {
        let mut state = whole.clone();
        change(state.optimizer.moments.values_mut().next().unwrap());
        state
    };
    assert!(load(&without(|moments| moments.average = None)).is_err());
    assert!(load(&without(|moments| moments.second = None)).is_err());
    assert!(
        load(&without(|moments| moments.first =
            moments.out_births.as_ref().map(|_| Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap())))
        .is_err()
    );
}

#[test]
fn what_rows_evaluate_to_does_not_depend_on_how_the_state_is_held() {
    for network in networks() {
        let rule = rule(Optimizer::ADAM);
        let mut first = engine(&network, &start(&network, Optimizer::ADAM, Averages::None), 4);
        steps(&mut first, &network, 3, &rule);
        let state = first.state().unwrap();
        let count = 70;
        let inputs = batch(&network, count, 50).inputs;
        let rows = EncodedRows {
            seqs: (1..=count as u64).map(Seq).collect(),
            shape: network.input().clone(),
            values: inputs.flatten_all().unwrap().to_vec1().unwrap(),
            labels: EncodedLabels::Classes(vec![None; count]),
        };
        let mut as_tensors = Learned::Tensors(state.clone());
        let outputs = as_tensors.evaluate(&network, &rows).unwrap();
        let expected: Vec<f32> =
            evaluate(&network, &state.parameters, &inputs).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(outputs.len(), expected.len());
        assert!(outputs.iter().zip(&expected).all(|(one, other)| (one - other).abs() <= 1e-5 * other.abs().max(1.0)));
        for room in [1, 3, 70] {
            let mut held = Learned::Engine(Box::new(engine(&network, &state, room)));
            assert_eq!(held.evaluate(&network, &rows).unwrap(), outputs, "room for {room} rows");
            assert_eq!(bits(&held.state().unwrap()), bits(&state));
            assert!(matches!(held.published().unwrap(), Cow::Owned(_)));
            assert_eq!(bits(held.tensors().unwrap()), bits(&state));
        }
    }
}
