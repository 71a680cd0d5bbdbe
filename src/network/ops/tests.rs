//! What the tests of all ops share: a [`Trial`] holds an op's two passes against its reference in f64.
//!
//! The values of a trial are distinct, none near 0, so that no maximum is a tie and no kink lies within a difference.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{from_document, kinds};
use crate::compute::random::{Purpose, Random};
use crate::network::channels::ChannelRelation;
use crate::network::op::{BackwardInput, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::{ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// How many elements of a tensor are held against central differences, chosen at random.
const DIFFERENCES: usize = 48;

/// Half the distance of a central difference.
const STEP: f64 = 1e-5;

/// One op on random values: a function of the seed.
pub(super) struct Trial {
    pub(super) op: Arc<dyn Op>,
    pub(super) inputs: Vec<ReferenceBatch>,
    pub(super) specs: Vec<ParameterSpec>,
    pub(super) parameters: Vec<Vec<f64>>,
    pub(super) mode: Mode,
    /// What outputs below 0 are multiplied by: 1 but for a kernel that rectifies.
    pub(super) slope: f64,
    pub(super) random: Random,
}

impl Trial {
    /// The op in training on `rows` random rows of each shape.
    pub(super) fn training(op: impl Op, shapes: &[Shape], rows: usize, seed: u64) -> Self {
        let mut random = Random::keyed(seed, Purpose::Probe, 0, "trial");
        let batch = |shape: &Shape| ReferenceBatch { rows, shape: shape.clone(), values: Vec::new() };
        let mut inputs: Vec<ReferenceBatch> = shapes.iter().map(batch).collect();
        for batch in &mut inputs {
            batch.values = distinct(rows * batch.shape.elements(), &mut random);
        }
        let specs = op.parameters(shapes);
        let parameters = specs.iter().map(|spec| {
            let values = distinct(spec.dims.iter().product(), &mut random);
            let positive = spec.kind == ParameterKind::Statistic;
            if positive { values.iter().map(|value| value.abs() + 0.25).collect() } else { values }
        });
        let parameters = parameters.collect();
        Self { op: Arc::new(op), inputs, specs, parameters, mode: Mode::Train { seed, step: 3 }, slope: 1.0, random }
    }

    /// The batches that enter and the parameters, for what a test must know about them.
    pub(super) fn values(&self) -> (&[ReferenceBatch], &[Vec<f64>]) {
        (&self.inputs, &self.parameters)
    }

    /// Forward against the reference in both modes, backward against central differences of the reference, and the
    /// document against itself. Contiguous tensors and strided ones, and the kernel if there is one.
    pub(super) fn check(mut self) {
        self.check_declarations();
        let training = self.mode;
        for layout in [Layout::Contiguous, Layout::Strided] {
            self.mode = Mode::Evaluate;
            self.check_forward(layout);
            self.mode = training;
            self.check_forward(layout);
            self.check_backward(layout);
        }
        self.check_kernel();
    }

    fn check_declarations(&self) {
        let document = self.op.document();
        let read = from_document(self.op.kind(), &document).unwrap();
        assert_eq!((format!("{read:?}"), read.document()), (format!("{:?}", self.op), document));
        assert!(self.specs.iter().all(|spec| spec.dims.len() == spec.axes.len()));
        let takes = matches!(self.op.channels(&self.shapes()), ChannelRelation::Takes { .. });
        assert_eq!(self.op.with_range(1, 2).is_some(), takes);
        assert_eq!(self.op.with_channels(12).is_some(), self.op.produces_channels());
        // 12 channels fall into up to 4 groups.
        if let Some(other) = self.op.with_channels(12) {
            assert_eq!(other.kind(), self.op.kind());
            let shape = self.op.output_shape(&self.shapes()).map(|shape| shape.with_channels(12));
            assert_eq!(other.output_shape(&self.shapes()), shape);
        }
    }

    fn check_forward(&self, layout: Layout) {
        let reference = self.reference();
        let output = self.forward(layout).output;
        assert_eq!(reference.shape, self.op.output_shape(&self.shapes()).unwrap());
        assert_eq!(output.dims(), reference.shape.batched(reference.rows));
        assert_close(&numbers(&output), &reference.values, 1e-5);
    }

    fn check_backward(&mut self, layout: Layout) {
        let forward = self.forward(layout);
        let direction = distinct(forward.output.elem_count(), &mut self.random);
        let gradient = tensor(&direction, forward.output.dims(), layout);
        let (inputs, parameters) = (self.input_tensors(layout), self.parameter_tensors());
        let backward = |needed: &[bool]| {
            let input = BackwardInput {
                inputs: &inputs.iter().collect::<Vec<_>>(),
                parameters: &parameters.iter().collect::<Vec<_>>(),
                output: &forward.output,
                saved: &forward.saved,
                gradient: &gradient,
                needed,
            };
            self.op.backward(input).unwrap()
        };
        let none = backward(&vec![false; inputs.len()]);
        assert!(none.inputs.len() == inputs.len() && none.inputs.iter().all(Option::is_none));
        let all = backward(&vec![true; inputs.len()]);
        assert_eq!((all.inputs.len(), all.parameters.len()), (inputs.len(), self.specs.len()));
        for (index, (found, wanted)) in all.parameters.iter().zip(&none.parameters).enumerate() {
            assert_eq!(found.as_ref().map(numbers), wanted.as_ref().map(numbers), "with and without input gradients");
            assert_eq!(found.is_some(), self.specs[index].kind == ParameterKind::Trained);
            if let Some(found) = found {
                assert_eq!(found.dims(), self.specs[index].dims);
                self.check_differences(&numbers(found), &direction, |trial| &mut trial.parameters[index]);
            }
        }
        for (index, found) in all.inputs.iter().enumerate() {
            let found = found.as_ref().expect("every input's gradient was asked for");
            assert_eq!(found.dims(), inputs[index].dims());
            self.check_differences(&numbers(found), &direction, |trial| &mut trial.inputs[index].values);
        }
    }

    /// Holds a gradient of sum(output * direction) against central differences in the numbers that `of` names.
    pub(super) fn check_differences(
        &mut self,
        gradient: &[f64],
        direction: &[f64],
        of: impl Fn(&mut Self) -> &mut Vec<f64>,
    ) {
        let count = of(self).len();
        let mut chosen: Vec<usize> = (0..count).collect();
        self.random.shuffle(&mut chosen);
        chosen.truncate(DIFFERENCES);
        let loss = |trial: &Self| trial.bent_reference().iter().zip(direction).map(|(y, d)| y * d).sum::<f64>();
        let mut differences = Vec::with_capacity(chosen.len());
        for &index in &chosen {
            let at = of(self)[index];
            of(self)[index] = at + STEP;
            let above = loss(self);
            of(self)[index] = at - STEP;
            let below = loss(self);
            of(self)[index] = at;
            differences.push((above - below) / (2.0 * STEP));
        }
        let found: Vec<f64> = chosen.iter().map(|&index| gradient[index]).collect();
        assert_close(&found, &differences, 1e-4);
    }

    pub(super) fn forward(&self, layout: Layout) -> Forward {
        let (inputs, parameters) = (self.input_tensors(layout), self.parameter_tensors());
        let input = ForwardInput {
            inputs: &inputs.iter().collect::<Vec<_>>(),
            parameters: &parameters.iter().collect::<Vec<_>>(),
            mode: self.mode,
            node: "node",
        };
        self.op.forward(input).unwrap()
    }

    /// The reference's numbers, those below 0 times the slope.
    pub(super) fn bent_reference(&self) -> Vec<f64> {
        self.reference().values.into_iter().map(|y| if y < 0.0 { y * self.slope } else { y }).collect()
    }

    pub(super) fn reference(&self) -> ReferenceBatch {
        self.op.reference(ReferenceInput {
            inputs: &self.inputs.iter().collect::<Vec<_>>(),
            parameters: &self.parameters.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            mode: self.mode,
            node: "node",
        })
    }

    pub(super) fn shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|batch| batch.shape.clone()).collect()
    }

    fn input_tensors(&self, layout: Layout) -> Vec<Tensor> {
        self.inputs.iter().map(|batch| tensor(&batch.values, &batch.shape.batched(batch.rows), layout)).collect()
    }

    fn parameter_tensors(&self) -> Vec<Tensor> {
        let specs = self.specs.iter().zip(&self.parameters);
        specs.map(|(spec, values)| tensor(values, &spec.dims, Layout::Contiguous)).collect()
    }
}

/// How a tensor lies in memory; the values are the same.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    Contiguous,
    Strided,
}

/// These numbers as an f32 tensor.
pub(super) fn tensor(values: &[f64], dims: &[usize], layout: Layout) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu).unwrap();
    match layout {
        Layout::Contiguous => tensor,
        Layout::Strided => tensor.transpose(0, 1).unwrap().contiguous().unwrap().transpose(0, 1).unwrap(),
    }
}

/// A tensor's numbers, row-major.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// The output of an op's forward pass on these tensors.
pub(super) fn forward(op: &impl Op, inputs: &[&Tensor], parameters: &[&Tensor], mode: Mode) -> Forward {
    op.forward(ForwardInput { inputs, parameters, mode, node: "node" }).unwrap()
}

/// Images with random sides, and how many rows of them.
pub(super) fn images() -> impl Strategy<Value = (Shape, usize)> {
    (1usize..4, 1usize..8, 1usize..8, 1usize..4)
        .prop_map(|(channels, height, width, rows)| (Shape::image(channels, height, width), rows))
}

/// Flat rows and images, and how many of them.
pub(super) fn batches() -> impl Strategy<Value = (Shape, usize)> {
    prop_oneof![images(), (1usize..20, 1usize..8).prop_map(|(features, rows)| (Shape::flat(features), rows))]
}

/// `count` distinct numbers within 2 of 0, exact in f32, in random order.
pub(super) fn distinct(count: usize, random: &mut Random) -> Vec<f64> {
    let middle = (count as f64 - 1.0) / 2.0 + 0.25;
    let mut values: Vec<f64> =
        (0..count).map(|index| f64::from(((index as f64 - middle) * 4.0 / (count as f64 + 1.0)) as f32)).collect();
    random.shuffle(&mut values);
    values
}

pub(super) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance * scale, "element {index}: {found} instead of {expected}, scale {scale}");
    }
}

fn read(kind: &str, document: Value) -> Result<Arc<dyn Op>, String> {
    from_document(kind, document.as_object().unwrap())
}

/// Every kind of op with its hyperparameters.
fn documents() -> Vec<(&'static str, Value)> {
    let conv = json!({"out": 4, "kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]});
    let rest = json!({"kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]});
    let with = |fields: Value| {
        let mut all = rest.clone();
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    let (depthwise, grouped) = (with(json!({"multiplier": 2})), with(json!({"out": 4, "groups": 2})));
    let pool = json!({"kernel": [2, 2], "stride": [2, 2]});
    vec![
        ("linear", json!({"out": 3})),
        ("conv2d", conv),
        ("depthwise_conv2d", depthwise),
        ("grouped_conv2d", grouped),
        ("maxout", json!({"out": 3, "pieces": 2})),
        ("embedding", json!({"out": 3})),
        ("batch_norm", json!({"epsilon": 1e-5, "momentum": 0.1})),
        ("dropout", json!({"probability": 0.5})),
        ("max_pool", pool.clone()),
        ("avg_pool", pool),
        ("relu", json!({})),
        ("flatten", json!({})),
        ("global_avg_pool", json!({})),
        ("add", json!({})),
        ("concat", json!({})),
        ("split", json!({"start": 1, "end": 3})),
        ("mul", json!({})),
        ("leaky_relu", json!({"slope": 0.25})),
        ("prelu", json!({})),
        ("tanh", json!({})),
        ("sigmoid", json!({})),
        ("silu", json!({})),
        ("gelu", json!({})),
        ("layer_norm", json!({"epsilon": 1e-5})),
        ("group_norm", json!({"groups": 2, "epsilon": 1e-5})),
        ("rms_norm", json!({"epsilon": 1e-5})),
    ]
}

#[test]
fn a_document_with_a_missing_unknown_or_mistyped_hyperparameter_is_refused() {
    for (kind, document) in documents() {
        let fields: Map<String, Value> = document.as_object().unwrap().clone();
        assert_eq!(from_document(kind, &fields).unwrap().kind(), kind);
        let mut more = fields.clone();
        more.insert("colour".into(), json!(1));
        assert!(from_document(kind, &more).is_err(), "{kind} takes an unknown key");
        for name in fields.keys() {
            let mut fewer = fields.clone();
            fewer.remove(name);
            assert!(from_document(kind, &fewer).unwrap_err().contains(name), "{kind} without {name}");
            for wrong in
                [json!(null), json!("3"), json!(-1), json!([1]), json!([1, 2, 3]), json!([1.5, 1]), json!(1e300)]
            {
                let mut mistyped = fields.clone();
                mistyped.insert(name.clone(), wrong.clone());
                assert!(from_document(kind, &mistyped).unwrap_err().contains(name), "{kind} with {name} {wrong}");
            }
        }
    }
    assert!(read("perceptron", json!({})).is_err());
}

#[test]
fn every_op_stands_in_the_documentation_with_its_hyperparameters() {
    let page = include_str!("../../../docs/NETWORKS.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for (kind, document) in documents() {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{kind}` |")));
        let cell = row.and_then(|row| row.split(" | ").nth(1)).unwrap_or_else(|| panic!("{kind} is missing"));
        let names = document.as_object().unwrap().keys();
        assert!(names.into_iter().all(|name| cell.contains(&format!("`{name}`"))), "{kind}: {cell}");
    }
    assert_eq!(rows.len(), kinds().count());
    assert_eq!(documents().len(), kinds().count());
}

#[test]
fn absurd_hyperparameters_are_refused() {
    let conv = |kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2]| {
        let document = json!({"out": 1, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation});
        read("conv2d", document).map(|_| ())
    };
    assert!(conv([3, 3], [1, 1], [1, 1], [1, 1]).is_ok());
    assert!(conv([0, 3], [1, 1], [0, 0], [1, 1]).unwrap_err().contains("kernel"));
    assert!(conv([3, 3], [1, 0], [0, 0], [1, 1]).unwrap_err().contains("stride"));
    assert!(conv([3, 3], [1, 1], [0, 0], [9999, 1]).unwrap_err().contains("dilation"));
    assert!(conv([3, 3], [1, 1], [3, 0], [1, 1]).unwrap_err().contains("padding"));
    assert!(conv([3, 3], [1, 1], [3, 0], [2, 1]).is_ok());
    assert!(read("linear", json!({"out": 0})).is_err());
    assert!(read("linear", json!({"out": u64::MAX})).is_err());
    assert!(read("linear", json!({"out": 2.0})).is_err());
    assert!(read("dropout", json!({"probability": 1.0})).is_err());
    assert!(read("batch_norm", json!({"epsilon": 0.0, "momentum": 0.1})).is_err());
    assert!(read("batch_norm", json!({"epsilon": 1e-5, "momentum": 1.1})).is_err());
    assert!(read("max_pool", json!({"kernel": [2, 0], "stride": [1, 1]})).is_err());
    assert!(read("avg_pool", json!({"kernel": [2, 2], "stride": [1, 1], "padding": [0, 2]})).is_err());
    assert!(read("maxout", json!({"out": 2, "pieces": 0})).is_err());
    assert!(read("embedding", json!({"out": 0})).is_err());
}
