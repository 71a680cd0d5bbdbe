//! A [`Trial`] of an op's kernel: both passes on every kind of vectors, against the reference in f64 and its differences.
//!
//! Whatever a pass is to write holds NaN before it, and what it does not need is not there. Three threads give the bits
//! that one gives, and a kernel that rectifies too gives what the op gives with a rectifier behind it.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::tests::{Layout, Trial, assert_close, distinct, numbers};
use crate::compute::kernels::{Arrival, BackwardPass, Crew, Draw, ForwardPass, Kernel, channels_first, channels_last};
use crate::compute::vectors::Vectors;
use crate::network::op::Mode;
use crate::network::parameter::ParameterKind;
use crate::network::shape::Shape;

/// Outputs nearer to 0 are asked for no gradient through a rectifier, whose kink they may lie beyond by rounding.
const KINK: f64 = 2e-3;

/// What the passes of a kernel give, channels last.
struct Results {
    output: Vec<f32>,
    /// New values of running statistics, in the parameters' order; empty for a trained parameter.
    statistics: Vec<Vec<f32>>,
    /// For every turn of [`arrival`] the gradients by the inputs and by the parameters.
    inputs: [Vec<Vec<f32>>; 3],
    parameters: [Vec<Vec<f32>>; 3],
}

impl Results {
    fn bits(&self) -> Vec<u32> {
        let gradients = self.inputs.iter().chain(&self.parameters).flatten();
        let all = [&self.output].into_iter().chain(&self.statistics).chain(gradients);
        all.flatten().map(|number| number.to_bits()).collect()
    }
}

impl Trial {
    /// Holds the op's kernel, and each that rectifies too, against the reference.
    pub(super) fn check_kernel(&mut self) {
        let Some(kernel) = self.op.kernel(&self.shapes()) else { return };
        self.check_passes(&*kernel);
        for slope in [0.0, 0.25] {
            if let Some(rectified) = kernel.rectified(slope) {
                self.slope = f64::from(slope);
                self.check_passes(&*rectified);
                self.slope = 1.0;
            }
        }
    }

    fn check_passes(&mut self, kernel: &dyn Kernel) {
        let training = self.mode;
        self.mode = Mode::Evaluate;
        for vectors in Vectors::available() {
            for prepared in [Vec::new(), self.prepared(kernel, vectors)] {
                let evaluate = |threads| self.kernel_forward(kernel, &prepared, &Crew { vectors, threads }).0;
                let output = alone_and_in_company(evaluate, |output| output.iter().map(|y| y.to_bits()).collect());
                assert_close(&self.first(&output, &self.output_shape()), &self.bent_reference(), 1e-5);
            }
        }
        self.mode = training;
        let direction = self.direction();
        let mut before: Option<Results> = None;
        for vectors in Vectors::available() {
            let train = |threads| self.kernel_passes(kernel, &direction, &Crew { vectors, threads });
            let results = alone_and_in_company(train, Results::bits);
            self.check_results(&results);
            match &before {
                Some(before) => assert_alike(&results, before),
                None => self.check_gradients(&results, &direction),
            }
            before = Some(results);
        }
    }

    /// Random factors of the outputs, whose sum is differentiated: 0 where a rectifier has its kink.
    fn direction(&mut self) -> Vec<f64> {
        let reference = self.reference().values;
        let mut direction = distinct(reference.len(), &mut self.random);
        if self.slope != 1.0 {
            direction.iter_mut().zip(&reference).filter(|(_, y)| y.abs() < KINK).for_each(|(factor, _)| *factor = 0.0);
        }
        direction
    }

    fn check_results(&self, results: &Results) {
        assert_close(&self.first(&results.output, &self.output_shape()), &self.bent_reference(), 1e-5);
        let expected = self.forward(Layout::Contiguous).statistics;
        for (index, spec) in self.specs.iter().enumerate().filter(|(_, spec)| spec.kind == ParameterKind::Statistic) {
            let moved = expected.iter().find(|(name, _)| *name == spec.name).map(|(_, value)| numbers(value));
            let found: Vec<f64> = results.statistics[index].iter().copied().map(f64::from).collect();
            assert_close(&found, &moved.unwrap_or_else(|| self.parameters[index].clone()), 1e-5);
        }
        for (index, shape) in self.shapes().iter().enumerate() {
            let of = |turn: usize| self.first(&results.inputs[turn][index], shape);
            let (mut written, mut added) = (Vec::new(), Vec::new());
            for turn in 0..3 {
                match arrival(index, turn) {
                    Kind::First => written = of(turn),
                    Kind::Further => added = of(turn),
                    Kind::Unwanted => {}
                }
            }
            let there = self.first(&stood_there(written.len()), shape);
            let sum: Vec<f64> = written.iter().zip(&there).map(|(gradient, there)| gradient + there).collect();
            assert_close(&added, &sum, 1e-5);
        }
        for turn in &results.parameters {
            assert_eq!(turn, &results.parameters[0], "whatever becomes of the gradients by the inputs");
        }
    }

    fn check_gradients(&mut self, results: &Results, direction: &[f64]) {
        for index in 0..self.specs.len() {
            let found: Vec<f64> = results.parameters[0][index].iter().copied().map(f64::from).collect();
            if self.specs[index].kind == ParameterKind::Trained {
                self.check_differences(&found, direction, |trial| &mut trial.parameters[index]);
            }
        }
        for (index, shape) in self.shapes().iter().enumerate() {
            let turn = (0..3).find(|&turn| arrival(index, turn) == Kind::First).expect("one of three turns");
            let found = self.first(&results.inputs[turn][index], shape);
            self.check_differences(&found, direction, |trial| &mut trial.inputs[index].values);
        }
    }

    /// The parameters as the kernel lays them for many passes.
    fn prepared(&self, kernel: &dyn Kernel, vectors: Vectors) -> Vec<f32> {
        let parameters = self.kernel_parameters();
        let mut prepared = vec![f32::NAN; kernel.prepared(vectors.lanes())];
        let parameters: Vec<&[f32]> = parameters.iter().map(Vec::as_slice).collect();
        kernel.prepare(&parameters, &Crew { vectors, threads: 1 }, &mut prepared);
        prepared
    }

    /// The forward pass: the output, what is saved, and the room for gradients with the new statistics in it.
    fn kernel_forward(
        &self,
        kernel: &dyn Kernel,
        prepared: &[f32],
        crew: &Crew,
    ) -> (Vec<f32>, Vec<f32>, Vec<Vec<f32>>) {
        let rows = self.inputs[0].rows;
        let (inputs, parameters) = (self.kernel_inputs(), self.kernel_parameters());
        let mut output = vec![f32::NAN; rows * self.output_shape().elements()];
        let (mut saved, mut gradients) = (Vec::new(), Vec::new());
        let mut training = None;
        if let Mode::Train { seed, step } = self.mode {
            training = Some(Draw { seed, step, node: "node" });
            saved = vec![f32::NAN; kernel.saved_per_row() * rows + kernel.saved_per_batch()];
            gradients = parameters.iter().map(|values| vec![f32::NAN; values.len()]).collect();
        }
        kernel.forward(ForwardPass {
            rows,
            training,
            inputs: &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            parameters: &parameters.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            prepared,
            output: &mut output,
            saved: &mut saved,
            statistics: &mut gradients.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            crew,
        });
        (output, saved, gradients)
    }

    fn kernel_passes(&self, kernel: &dyn Kernel, direction: &[f64], crew: &Crew) -> Results {
        let (output, saved, statistics) = self.kernel_forward(kernel, &[], crew);
        let (inputs, parameters, needs) = (self.kernel_inputs(), self.kernel_parameters(), kernel.needs());
        let gradient = self.last(direction, &self.output_shape());
        let backward = |turn: usize, left: Option<usize>| {
            let room = |(index, values): (usize, &Vec<f32>)| match arrival(index, turn) {
                Kind::First => vec![f32::NAN; values.len()],
                Kind::Further => stood_there(values.len()),
                Kind::Unwanted => Vec::new(),
            };
            let mut by_input: Vec<Vec<f32>> = inputs.iter().enumerate().map(room).collect();
            let arriving = by_input.iter_mut().enumerate().map(|(index, room)| match arrival(index, turn) {
                Kind::First if left == Some(index) => Arrival::InPlace,
                Kind::First => Arrival::First(room),
                Kind::Further => Arrival::Further(room),
                Kind::Unwanted => Arrival::Unwanted,
            });
            let mut by_parameter = statistics.clone();
            let mut gradient = gradient.clone();
            kernel.backward(BackwardPass {
                rows: self.inputs[0].rows,
                inputs: &inputs.iter().map(|x| if needs.inputs { x.as_slice() } else { &[] }).collect::<Vec<_>>(),
                parameters: &parameters.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                output: if needs.output { &output } else { &[] },
                saved: &saved,
                gradient: &mut gradient,
                input_gradients: &mut arriving.collect::<Vec<_>>(),
                parameter_gradients: &mut by_parameter.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
                crew,
            });
            for (index, spec) in self.specs.iter().enumerate().filter(|(_, spec)| spec.kind == ParameterKind::Statistic)
            {
                assert_eq!(by_parameter[index], statistics[index], "{} after the backward pass", spec.name);
            }
            if let Some(index) = left {
                by_input[index] = gradient;
            }
            (by_input, by_parameter)
        };
        let turns = [0, 1, 2].map(|turn| backward(turn, None));
        if let Some(index) = kernel.passes_on() {
            let turn = (0..3).find(|&turn| arrival(index, turn) == Kind::First).expect("one of three turns");
            assert_eq!(backward(turn, Some(index)), turns[turn], "a gradient left in place");
        }
        let (inputs, parameters) = (turns.clone().map(|turn| turn.0), turns.map(|turn| turn.1));
        let measured = |(spec, values): (&ParameterKind, Vec<f32>)| match spec {
            ParameterKind::Statistic => values,
            ParameterKind::Trained => Vec::new(),
        };
        let kinds: Vec<ParameterKind> = self.specs.iter().map(|spec| spec.kind).collect();
        Results { output, statistics: kinds.iter().zip(statistics).map(measured).collect(), inputs, parameters }
    }

    fn output_shape(&self) -> Shape {
        self.op.output_shape(&self.shapes()).unwrap()
    }

    fn kernel_inputs(&self) -> Vec<Vec<f32>> {
        self.inputs.iter().map(|batch| self.last(&batch.values, &batch.shape)).collect()
    }

    fn kernel_parameters(&self) -> Vec<Vec<f32>> {
        self.parameters.iter().map(|values| values.iter().map(|&value| value as f32).collect()).collect()
    }

    fn last(&self, values: &[f64], shape: &Shape) -> Vec<f32> {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let mut last = vec![f32::NAN; values.len()];
        channels_last(&values, shape.place(), &mut last, &Crew::alone());
        last
    }

    fn first(&self, values: &[f32], shape: &Shape) -> Vec<f64> {
        let mut first = vec![f32::NAN; values.len()];
        channels_first(values, shape.place(), &mut first, &Crew::alone());
        first.into_iter().map(f64::from).collect()
    }
}

/// How a gradient arrives.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    First,
    Further,
    Unwanted,
}

/// How the gradient by an input arrives in each of three turns.
fn arrival(index: usize, turn: usize) -> Kind {
    match (index + turn) % 3 {
        0 => Kind::First,
        1 => Kind::Further,
        _ => Kind::Unwanted,
    }
}

/// What has arrived before.
fn stood_there(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 7) as f32 * 0.25 - 0.5).collect()
}

/// What `run` gives on one thread, which has the bits of what it gives on three.
fn alone_and_in_company<T: Send>(run: impl Fn(usize) -> T + Sync, bits: impl Fn(&T) -> Vec<u32>) -> T {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| ThreadPoolBuilder::new().num_threads(3).build().unwrap());
    let alone = run(1);
    let company = pool.install(|| run(3));
    assert_eq!(bits(&alone), bits(&company), "one thread and three");
    alone
}

/// The gradients of two kinds of vectors are the same but for rounding.
fn assert_alike(one: &Results, other: &Results) {
    let all = |results: &Results| -> Vec<Vec<f64>> {
        let gradients = results.inputs.iter().chain(&results.parameters).flatten();
        gradients.map(|gradient| gradient.iter().copied().map(f64::from).collect()).collect()
    };
    for (one, other) in all(one).iter().zip(all(other)) {
        assert_close(one, &other, 1e-5);
    }
}
