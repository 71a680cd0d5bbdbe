//! The optimizers against plain scalar arithmetic in f64, and the stored state.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::compute::random::{Purpose, Random};

mod fused;
mod rates;

const RATE: f64 = 0.01;

fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), dims, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn draws(count: usize, step: u64) -> Vec<f32> {
    let mut random = Random::keyed(7, Purpose::Probe, step, "gradient");
    (0..count).map(|_| random.normal() as f32).collect()
}

/// One scalar under the optimizer's published rule, in f64.
#[derive(Default, Clone)]
struct Scalar {
    value: f64,
    first: f64,
    second: f64,
    age: i32,
}

/// How far one step of one scalar goes.
#[derive(Clone, Copy)]
struct Pace {
    rate: f64,
    decay: f64,
}

impl Scalar {
    fn step(&mut self, optimizer: &Optimizer, gradient: f64) {
        self.step_at(optimizer, gradient, Pace { rate: RATE, decay: 0.0 });
    }

    fn step_at(&mut self, optimizer: &Optimizer, gradient: f64, Pace { rate, decay }: Pace) {
        self.age += 1;
        self.value -= rate * decay * self.value;
        match *optimizer {
            Optimizer::Sgd { momentum } => {
                self.first = momentum * self.first + gradient;
                self.value -= rate * self.first;
            }
            Optimizer::RmsProp { decay, epsilon } => {
                self.second = decay * self.second + (1.0 - decay) * gradient * gradient;
                let corrected = self.second / (1.0 - decay.powi(self.age));
                self.value -= rate * gradient / (corrected.sqrt() + epsilon);
            }
            Optimizer::Adam { beta1, beta2, epsilon } => {
                self.first = beta1 * self.first + (1.0 - beta1) * gradient;
                self.second = beta2 * self.second + (1.0 - beta2) * gradient * gradient;
                let first = self.first / (1.0 - beta1.powi(self.age));
                let second = self.second / (1.0 - beta2.powi(self.age));
                self.value -= rate * first / (second.sqrt() + epsilon);
            }
        }
    }
}

#[test]
fn every_optimizer_agrees_with_scalar_arithmetic() {
    for optimizer in [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP] {
        let start = draws(6, 0);
        let mut parameter = tensor(&start, &[2, 3]);
        let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 0).unwrap();
        let mut scalars: Vec<Scalar> =
            start.iter().map(|&value| Scalar { value: value.into(), ..Scalar::default() }).collect();
        for step in 1..=300 {
            let gradient = draws(6, step);
            parameter = optimizer
                .update(&parameter, &tensor(&gradient, &[2, 3]), &mut moments, step, &Rate::constant(RATE))
                .unwrap();
            scalars.iter_mut().zip(&gradient).for_each(|(scalar, &gradient)| scalar.step(&optimizer, gradient.into()));
        }
        for (ours, scalar) in values(&parameter).iter().zip(&scalars) {
            assert!((f64::from(*ours) - scalar.value).abs() < 2e-4, "{optimizer:?}: {ours} {}", scalar.value);
        }
    }
}

#[test]
fn a_newly_born_row_and_column_step_as_fresh_ones_would_while_old_elements_go_on() {
    for optimizer in [Optimizer::ADAM, Optimizer::RMSPROP] {
        let (rows, columns, growth) = (3, 4, 1_000);
        let mut old = Scalar::default();
        let mut parameter = tensor(&vec![0.0; rows * columns], &[rows, columns]);
        let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 0).unwrap();
        for step in 1..=growth {
            let gradient = tensor(&vec![1.0; rows * columns], &[rows, columns]);
            parameter = optimizer.update(&parameter, &gradient, &mut moments, step, &Rate::constant(RATE)).unwrap();
            old.step(&optimizer, 1.0);
        }
        // The last row and the last column are born after step 1,000: with empty moments, and with their birth.
        let young = |at: usize| at / columns == rows - 1 || at % columns == columns - 1;
        let emptied = |moment: &Option<Tensor>| {
            moment.as_ref().map(|moment| {
                let kept = values(moment).iter().enumerate().map(|(at, &m)| if young(at) { 0.0 } else { m }).collect();
                Tensor::from_vec(kept, &[rows, columns], &Device::Cpu).unwrap()
            })
        };
        (moments.first, moments.second) = (emptied(&moments.first), emptied(&moments.second));
        moments.out_births.as_mut().unwrap().steps[rows - 1] = growth;
        moments.in_births.as_mut().unwrap().steps[columns - 1] = growth;

        let mut fresh = Scalar { value: old.value, ..Scalar::default() };
        for step in growth + 1..=growth + 20 {
            let gradient = draws(1, step)[0];
            let all = tensor(&vec![gradient; rows * columns], &[rows, columns]);
            let before = values(&parameter);
            parameter = optimizer.update(&parameter, &all, &mut moments, step, &Rate::constant(RATE)).unwrap();
            let (old_before, fresh_before) = (old.value, fresh.value);
            old.step(&optimizer, gradient.into());
            fresh.step(&optimizer, gradient.into());
            for (at, (after, before)) in values(&parameter).iter().zip(&before).enumerate() {
                let taken = f64::from(after - before);
                let expected = if young(at) { fresh.value - fresh_before } else { old.value - old_before };
                assert!((taken - expected).abs() < 1e-5, "{optimizer:?} step {step} element {at}: {taken} {expected}");
            }
        }
    }
}

#[test]
fn the_first_step_of_a_young_element_is_no_longer_than_the_rate() {
    for optimizer in [Optimizer::ADAM, Optimizer::RMSPROP] {
        let parameter = tensor(&[0.0; 2], &[2]);
        let mut moments = optimizer.moments(&parameter, Some(0), None, 50_000).unwrap();
        let after = optimizer
            .update(&parameter, &tensor(&[5.0, -1e-3], &[2]), &mut moments, 50_001, &Rate::constant(RATE))
            .unwrap();
        assert!(values(&after).iter().all(|step| step.abs() <= RATE as f32 * 1.0001), "{after}");
    }
}

#[test]
fn a_parameter_without_channel_axes_keeps_its_birth() {
    let moments = Optimizer::ADAM.moments(&tensor(&[0.0; 3], &[3]), None, None, 9).unwrap();
    assert_eq!(moments.out_births, Some(AxisBirths { axis: 0, steps: vec![9; 3] }));
}

#[test]
fn shapes_and_moments_that_do_not_fit_are_refused_and_change_nothing() {
    let parameter = tensor(&[1.0; 4], &[2, 2]);
    let mut moments = Optimizer::ADAM.moments(&parameter, Some(0), Some(1), 0).unwrap();
    assert!(
        Optimizer::ADAM.update(&parameter, &tensor(&[1.0; 4], &[4]), &mut moments, 1, &Rate::constant(RATE)).is_err()
    );
    let mut others = Optimizer::SGD.moments(&parameter, Some(0), Some(1), 0).unwrap();
    assert!(Optimizer::ADAM.update(&parameter, &parameter, &mut others, 1, &Rate::constant(RATE)).is_err());
    moments.in_births.as_mut().unwrap().steps.push(0);
    assert!(Optimizer::ADAM.update(&parameter, &parameter, &mut moments, 1, &Rate::constant(RATE)).is_err());
    assert_eq!(values(moments.first.as_ref().unwrap()), [0.0; 4]);
    assert!(Optimizer::ADAM.moments(&parameter, Some(2), None, 0).is_err());
}

#[test]
fn constants_out_of_range_are_named() {
    assert_eq!(Optimizer::ADAM.check().and(Optimizer::SGD.check()).and(Optimizer::RMSPROP.check()), Ok(()));
    assert!(Optimizer::Sgd { momentum: 1.0 }.check().unwrap_err().contains("momentum"));
    assert!(Optimizer::RmsProp { decay: 0.9, epsilon: 0.0 }.check().unwrap_err().contains("epsilon"));
    for epsilon in [1e-39, -1e-8, f64::INFINITY, f64::NAN] {
        assert!(Optimizer::RmsProp { decay: 0.9, epsilon }.check().unwrap_err().contains("epsilon"), "{epsilon}");
    }
    let adam = Optimizer::Adam { beta1: 0.9, beta2: f64::NAN, epsilon: 1e-8 };
    assert!(adam.check().unwrap_err().contains("beta2"));
}

fn state() -> OptimizerState {
    let mut state = OptimizerState { step: 12, moments: BTreeMap::new() };
    for (name, optimizer) in [("a/weight", Optimizer::ADAM), ("b/weight", Optimizer::SGD), ("c/w", Optimizer::RMSPROP)]
    {
        let parameter = tensor(&draws(6, 1), &[2, 3]);
        let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 4).unwrap();
        optimizer.update(&parameter, &tensor(&draws(6, 2), &[2, 3]), &mut moments, 12, &Rate::constant(RATE)).unwrap();
        moments.in_births.as_mut().unwrap().steps[2] = 11;
        moments.average = (name != "c/w").then(|| tensor(&draws(6, 5), &[2, 3]));
        state.moments.insert(name.to_owned(), moments);
    }
    state
}

#[test]
fn a_state_reads_back_bit_for_bit_and_steps_on_the_same() {
    let state = state();
    let bytes = state.to_bytes().unwrap();
    let mut back = OptimizerState::from_bytes(&bytes, &Device::Cpu).unwrap();
    assert_eq!(back.to_bytes().unwrap(), bytes);
    assert_eq!(back.step, 12);
    assert!(back.moments.keys().eq(state.moments.keys()));
    for (name, moments) in &state.moments {
        let read = &back.moments[name];
        assert_eq!(read.first.as_ref().map(values), moments.first.as_ref().map(values));
        assert_eq!(read.second.as_ref().map(values), moments.second.as_ref().map(values));
        assert_eq!(read.average.as_ref().map(values), moments.average.as_ref().map(values));
        assert_eq!((&read.out_births, &read.in_births), (&moments.out_births, &moments.in_births));
    }
    let (parameter, gradient) = (tensor(&draws(6, 3), &[2, 3]), tensor(&draws(6, 4), &[2, 3]));
    let mut kept = state.moments["a/weight"].clone();
    let read = back.moments.get_mut("a/weight").unwrap();
    let rate =
        Rate { warmup: Warmup { factor: 0.1, steps: 9 }, restarted: Some(3), decay: 0.1, ..Rate::constant(RATE) };
    let one = Optimizer::ADAM.update(&parameter, &gradient, &mut kept, 13, &rate).unwrap();
    let other = Optimizer::ADAM.update(&parameter, &gradient, read, 13, &rate).unwrap();
    assert_eq!(values(&one), values(&other));
}

#[test]
fn a_state_that_does_not_fit_together_is_refused() {
    let refused = |change: fn(&mut OptimizerState)| {
        let mut changed = state();
        change(&mut changed);
        let bytes = changed.to_bytes().unwrap();
        OptimizerState::from_bytes(&bytes, &Device::Cpu).unwrap_err().to_string()
    };
    let late = refused(|state| state.step = 10);
    assert!(late.contains("later"), "{late}");
    let births = refused(|state| {
        state.moments.get_mut("a/weight").unwrap().out_births.as_mut().unwrap().steps.push(0);
    });
    assert!(births.contains("do not fit"), "{births}");
    let shapes = refused(|state| state.moments.get_mut("a/weight").unwrap().first = Some(tensor(&[0.0; 3], &[3])));
    assert!(shapes.contains("differ in shape"), "{shapes}");
    let average = refused(|state| state.moments.get_mut("a/weight").unwrap().average = Some(tensor(&[0.0; 6], &[6])));
    assert!(average.contains("average differs in shape"), "{average}");
    let negative = refused(|state| state.moments.get_mut("c/w").unwrap().second = Some(tensor(&[-1.0; 6], &[2, 3])));
    assert!(negative.contains("second/c/w"), "{negative}");
    let foreign = BTreeMap::from([("weight".to_owned(), crate::compute::tensor_file::Entry::Counts(vec![1]))]);
    let foreign = crate::compute::tensor_file::to_bytes(&foreign).unwrap();
    assert!(OptimizerState::from_bytes(&foreign, &Device::Cpu).is_err());
}

proptest! {
    #[test]
    fn malformed_state_files_never_panic(position: prop::sample::Index, value: u8, length: prop::sample::Index) {
        let mut bytes = state().to_bytes().unwrap();
        let position = position.index(bytes.len());
        bytes[position] = value;
        let _ = OptimizerState::from_bytes(&bytes, &Device::Cpu);
        bytes.truncate(length.index(bytes.len()));
        let _ = OptimizerState::from_bytes(&bytes, &Device::Cpu);
    }
}
