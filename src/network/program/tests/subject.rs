//! A network with parameters and a batch, through tensors and through programs, and how far the two may be apart.
//!
//! What rounding may do is measured: parameters and batch are moved a little (1e-5 of each number), more than rounding moves
//! anything on the way, and a result may be off by a few times what that moves it. Where a number lies so near to a bend
//! (of a rectifier, of a maximum) that rounding decides, that is seen too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{flat, numbers, parameters};
use crate::compute::kernels::Crew;
use crate::network::op::ReferenceBatch;
use crate::network::program::{Servable, TrainingProgram};
use crate::network::{Mode, Network, Node, ParameterId, ParameterKind, Parameters, execute, reference};

/// By how much of itself every number is moved.
const NUDGE: f32 = 1e-5;

/// So many times as far as the nudges move a result it may be off.
const FACTOR: f64 = 4.0;

/// What a result may be off by in any case, as a share of the largest of its kind: many roundings.
const ROUNDING: f64 = 1e-5;

/// Dropout draws from it.
const TRAINING: Mode = Mode::Train { seed: 7, step: 2 };

/// Pools of one, two and five threads.
static POOLS: LazyLock<[ThreadPool; 3]> =
    LazyLock::new(|| [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap()));

pub(super) struct Subject {
    network: Network,
    parameters: Parameters,
    rows: usize,
    batch: Vec<f32>,
    /// The gradient by the output that the backward pass starts from.
    direction: Vec<f32>,
}

/// What both passes give, by name: the output in training, the gradient of every trained parameter, and the new values of
/// statistics.
type Results = BTreeMap<String, Vec<f64>>;

impl Subject {
    pub(super) fn new(network: Network, rows: usize, seed: u64) -> Self {
        let parameters = parameters(&network, seed);
        let batch = numbers(rows * network.input().elements(), seed + 2);
        let width = network.shape(&network.output().id).unwrap().elements();
        Self { parameters, batch, direction: numbers(rows * width, seed + 3), network, rows }
    }

    /// The same with every number moved a little, one way or the other.
    fn nudged(&self, seed: u64) -> Self {
        let nudge = |values: &[f32], seed: u64| -> Vec<f32> {
            let noise = numbers(values.len(), seed);
            values.iter().zip(noise).map(|(value, noise)| value * (1.0 + NUDGE * noise.signum())).collect()
        };
        let parameter = |(at, (id, tensor)): (usize, (&ParameterId, &Tensor))| {
            let values = nudge(&flat(tensor), seed * 1000 + at as u64);
            (id.clone(), Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap())
        };
        Self {
            network: self.network.clone(),
            parameters: self.parameters.iter().enumerate().map(parameter).collect(),
            rows: self.rows,
            batch: nudge(&self.batch, seed + 1),
            direction: self.direction.clone(),
        }
    }

    fn tensor(&self) -> Tensor {
        Tensor::from_vec(self.batch.clone(), self.network.input().batched(self.rows), &Device::Cpu).unwrap()
    }

    /// Both passes in training by tensors.
    fn by_tensors(&self) -> Results {
        let pass = execute::forward(&self.network, &self.parameters, &self.tensor(), TRAINING).unwrap();
        let gradient = Tensor::from_vec(self.direction.clone(), pass.output.shape(), &Device::Cpu).unwrap();
        let wide = |tensor: &Tensor| flat(tensor).into_iter().map(f64::from).collect::<Vec<f64>>();
        let mut results = Results::from([("output".to_owned(), wide(&pass.output))]);
        // A statistic of which the pass says nothing stays as it is.
        let statistics = self.network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Statistic);
        results.extend(statistics.map(|(id, _)| (id.to_string(), wide(&self.parameters[&id]))));
        results.extend(pass.statistics.iter().map(|(id, value)| (id.to_string(), wide(value))));
        let gradients = execute::backward(&self.network, &self.parameters, pass, &gradient).unwrap();
        results.extend(gradients.iter().map(|(id, value)| (id.to_string(), wide(value))));
        results
    }

    /// The reference's output.
    fn by_reference(&self, mode: Mode) -> Results {
        let values = self.batch.iter().copied().map(f64::from).collect();
        let batch = ReferenceBatch { rows: self.rows, shape: self.network.input().clone(), values };
        let parameters = reference::widen(&self.parameters).unwrap();
        let output = reference::evaluate(&self.network, &parameters, &batch, mode).unwrap();
        Results::from([("output".to_owned(), output.values)])
    }

    /// Both passes in training by a program with room for more rows, from whatever it and the gradients held before.
    fn by_program(&self, program: &mut TrainingProgram) -> BTreeMap<String, Vec<f32>> {
        let layout = program.layout().clone();
        let (mut weights, mut gradients) = (vec![0.0; layout.len()], vec![f32::NAN; layout.len()]);
        layout.write(&self.parameters, &mut weights).unwrap();
        program.spoil();
        let place = self.network.shape(&self.network.output().id).unwrap().place();
        let (alone, mut first) = (Crew::alone(), vec![f32::NAN; self.direction.len()]);
        program.run((&weights, &mut gradients), &self.batch, (7, 2), |output, gradient| {
            crate::compute::kernels::channels_first(output, place, &mut first, &alone);
            crate::compute::kernels::channels_last(&self.direction, place, gradient, &alone);
            true
        });
        let placed = layout.placed().iter();
        let mut results: BTreeMap<String, Vec<f32>> =
            placed.map(|one| (one.id.to_string(), gradients[one.range.clone()].to_vec())).collect();
        results.insert("output".to_owned(), first);
        program.spoil();
        results.insert("evaluation".to_owned(), program.evaluate(&weights, &self.batch));
        results
    }

    /// Programs give what tensors and the reference give, and the same bits whatever the number of threads is and whatever
    /// the memory held.
    pub(super) fn check(&self, program: &mut TrainingProgram) {
        let mut found = POOLS.each_ref().map(|pool| pool.install(|| self.by_program(program)));
        let bits = |results: &BTreeMap<String, Vec<f32>>| -> Vec<(String, Vec<u32>)> {
            let of = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
            results.iter().map(|(name, values)| (name.clone(), of(values))).collect()
        };
        assert!(found.iter().all(|results| bits(results) == bits(&found[0])), "one thread, two and five");
        let mut found = std::mem::take(&mut found[0]);

        let evaluation = BTreeMap::from([("output".to_owned(), found.remove("evaluation").unwrap())]);
        self.assert_near(&evaluation, |subject| subject.by_reference(Mode::Evaluate));
        let training = BTreeMap::from([("output".to_owned(), found["output"].clone())]);
        self.assert_near(&training, |subject| subject.by_reference(TRAINING));
        self.assert_near(&found, Self::by_tensors);

        let servable = Servable::compile(&self.network, &self.parameters).unwrap();
        let predicted = POOLS.each_ref().map(|pool| {
            servable.spoil();
            pool.install(|| servable.run(&self.batch, &Crew::of_pool()).unwrap())
        });
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(predicted.iter().all(|one| bits(one) == bits(&predicted[0])), "one thread, two and five");
        // Of products of tensors nobody promises it.
        let kernels = |node: &Node| node.op.kernel(&self.network.input_shapes(node)).is_some();
        if self.network.nodes().iter().all(kernels) {
            let rows = self.batch.chunks(self.network.input().elements());
            let alone: Vec<f32> = rows.flat_map(|row| servable.run(row, &Crew::alone()).unwrap()).collect();
            assert_eq!(bits(&alone), bits(&predicted[0]), "rows alone");
        }
        let predicted = BTreeMap::from([("output".to_owned(), predicted[0].clone())]);
        self.assert_near(&predicted, |subject| subject.by_reference(Mode::Evaluate));
    }

    fn assert_near(&self, found: &BTreeMap<String, Vec<f32>>, of: impl Fn(&Self) -> Results) {
        let expected = of(self);
        assert!(found.keys().eq(expected.keys()), "{:?} and {:?}", found.keys(), expected.keys());
        let moved = [1, 2, 3].map(|seed| of(&self.nudged(seed)));
        let largest = |values: &[f64]| values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        let all = expected.values().map(|values| largest(values)).fold(0.0, f64::max);
        for (name, found) in found {
            let expected = &expected[name];
            assert_eq!(found.len(), expected.len(), "{name}");
            let apart = |other: &[f64]| largest(&expected.iter().zip(other).map(|(a, b)| a - b).collect::<Vec<_>>());
            let moves = moved.iter().map(|moved| apart(&moved[name])).fold(0.0, f64::max);
            let off = apart(&found.iter().copied().map(f64::from).collect::<Vec<_>>());
            let allowed = FACTOR * moves + ROUNDING * all;
            assert!(off <= allowed, "{name} is off by {off:e} where {allowed:e} are allowed, of {all}");
        }
    }
}
