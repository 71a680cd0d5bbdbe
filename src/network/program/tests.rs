//! Programs against the tensor passes, on the builders' networks.

use candle_core::{Device, Tensor};

use super::super::builders::NetworkSpec;
use super::super::execute;
use super::super::graph::Network;
use super::super::initialize::initialize;
use super::super::op::Mode;
use super::super::parameter::{ParameterId, Parameters};
use super::super::shape::Shape;
use super::{ParameterLayout, Servable, TrainingProgram};
use crate::compute::kernels::Crew;
use crate::compute::random::{Purpose, Random};

mod corners;
mod random;
mod subject;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::keyed(seed, Purpose::Probe, 0, "program");
    (0..count).map(|_| (2.0 * random.uniform() - 1.0) as f32).collect()
}

/// Parameters that are nowhere special: statistics positive, biases not 0.
fn parameters(network: &Network, seed: u64) -> Parameters {
    let initial = initialize(network, seed, &Device::Cpu).unwrap();
    let moved = |(id, tensor): (ParameterId, Tensor)| {
        let noise = Tensor::from_vec(numbers(tensor.elem_count(), seed + 1), tensor.shape(), &Device::Cpu).unwrap();
        let moved = (tensor + (noise * 0.1).unwrap()).unwrap();
        let positive = id.as_str().ends_with("variance");
        (id, if positive { (moved.abs().unwrap() + 0.5).unwrap() } else { moved })
    };
    initial.into_iter().map(moved).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-1f32, |largest, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 2e-4 * scale, "{what} {at}: {found} instead of {expected}, scale {scale}");
    }
}

fn check(spec: NetworkSpec, input: Shape, rows: usize) {
    let network = spec.build(&input, 5).unwrap();
    let parameters = parameters(&network, 3);
    let batch = numbers(rows * input.elements(), 9);
    let tensor = Tensor::from_vec(batch.clone(), input.batched(rows), &Device::Cpu).unwrap();

    let servable = Servable::compile(&network, &parameters).unwrap();
    let expected = flat(&execute::evaluate(&network, &parameters, &tensor).unwrap());
    assert_close(&servable.run(&batch, &Crew::alone()).unwrap(), &expected, "prediction");

    let mut program = TrainingProgram::compile(&network, rows + 3);
    let layout = program.layout().clone();
    let mut weights = vec![0.0; layout.len()];
    layout.write(&parameters, &mut weights).unwrap();
    assert_close(&program.evaluate(&weights, &batch), &expected, "evaluation");

    let pass = execute::forward(&network, &parameters, &tensor, Mode::Train { seed: 7, step: 2 }).unwrap();
    let direction = numbers(pass.output.elem_count(), 11);
    let gradient = Tensor::from_vec(direction.clone(), pass.output.shape(), &Device::Cpu).unwrap();
    let expected = flat(&pass.output);
    let statistics = pass.statistics.clone();
    let expected_gradients = execute::backward(&network, &parameters, pass, &gradient).unwrap();
    let mut gradients = vec![f32::NAN; layout.len()];
    let mut first = Vec::new();
    for round in 0..2 {
        gradients.fill(f32::NAN);
        program.run((&weights, &mut gradients), &batch, (7, 2), |output, gradient| {
            assert_close(output, &expected, "output in training");
            gradient.copy_from_slice(&direction);
            true
        });
        let of = |id: &ParameterId| &gradients[layout.placed()[layout.position(id).unwrap()].range.clone()];
        for (id, gradient) in expected_gradients.iter().chain(&statistics) {
            assert_close(of(id), &flat(gradient), &format!("round {round}, {id}"));
        }
        let bits: Vec<u32> =
            layout.placed().iter().flat_map(|one| &gradients[one.range.clone()]).map(|x| x.to_bits()).collect();
        assert!(round == 0 || bits == first, "the same bits again");
        first = bits;
    }
    assert_eq!(ParameterLayout::of(&network).len(), layout.len());
}

#[test]
fn programs_compute_what_tensors_compute() {
    check(NetworkSpec::Mlp { hidden: vec![13, 40], dropout: 0.3 }, Shape::flat(7), 9);
    check(NetworkSpec::Cnn { channels: vec![5, 17] }, Shape::image(3, 9, 11), 4);
    let image = Shape::image(3, 12, 12);
    for document in [
        r#"{"kind":"resnet","blocks":[1,1],"width":6}"#,
        r#"{"kind":"resnet","blocks":[1,1],"width":6,"style":"pre"}"#,
        r#"{"kind":"inception_bn","modules":3,"width":0.4,"stem":7}"#,
    ] {
        check(serde_json::from_str(document).unwrap(), image.clone(), 3);
    }
}

#[test]
fn any_number_of_threads_run_one_servable_at_once() {
    let input = Shape::image(2, 6, 5);
    let network = NetworkSpec::Cnn { channels: vec![5, 4] }.build(&input, 3).unwrap();
    let servable = Servable::compile(&network, &parameters(&network, 3)).unwrap();
    let batches: Vec<Vec<f32>> = (1..=12).map(|rows| numbers(rows * input.elements(), rows as u64)).collect();
    let run = |batch: &Vec<f32>| servable.run(batch, &Crew::alone()).unwrap();
    let expected: Vec<Vec<f32>> = batches.iter().map(run).collect();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (batches, expected, run) = (&batches, &expected, &run);
            scope.spawn(move || {
                for at in (0..200).map(|turn| (first * 5 + turn) % batches.len()) {
                    assert_eq!(run(&batches[at]), expected[at]);
                }
            });
        }
    });
}

#[test]
fn a_batch_that_is_not_whole_rows_is_refused() {
    let network = NetworkSpec::Mlp { hidden: vec![4], dropout: 0.0 }.build(&Shape::flat(3), 2).unwrap();
    let servable = Servable::compile(&network, &parameters(&network, 3)).unwrap();
    assert!([0, 2, 4].iter().all(|&count| servable.run(&vec![0.5; count], &Crew::alone()).is_err()));
    assert_eq!(servable.run(&[0.5; 6], &Crew::alone()).unwrap().len(), 4);
    assert!(Servable::compile(&network, &Parameters::new()).is_err());
}
