//! A fully connected layer: products of rows with panels of the weight.
//!
//! Parameters: weight `[out, in]`, bias `[out]`. A task takes a panel of columns through all rows, so that every panel is
//! packed once and stays in the nearest cache.

use std::ops::Range;
use std::sync::Arc;

use super::crew::{Crew, Shared};
use super::kernel::{Arrival, BackwardPass, ForwardPass, Kernel, Needs};
use super::panel::{Matrix, packed, width};
use super::rectifier::Rectifier;
use super::scratch;
use super::sites::column_sums;
use super::tile::{Block, Finish, Pairs, Panel, VECTORS, outer, product};
use crate::compute::vectors::{Simd, SimdLoop};

/// A fully connected layer from `inputs` to `outputs` numbers a row.
#[derive(Debug, Clone)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    slope: Option<f32>,
}

impl Linear {
    /// The layer without an activation.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, slope: None }
    }

    fn operations(&self, rows: usize) -> usize {
        2 * rows * self.inputs * self.outputs
    }

    /// The weight with its outputs as columns.
    fn by_output<'a>(&self, weights: &'a [f32]) -> Matrix<'a> {
        Matrix { weights, runs: &[0], depth_step: 1, depths: self.inputs, column_step: self.inputs }
    }

    /// The weight with its inputs as columns.
    fn by_input<'a>(&self, weights: &'a [f32]) -> Matrix<'a> {
        Matrix { weights, runs: &[0], depth_step: self.inputs, depths: self.outputs, column_step: 1 }
    }
}

/// Rows times a matrix, whose panels are packed already or task by task.
struct Rows<'a> {
    rows: usize,
    from: &'a [f32],
    matrix: Matrix<'a>,
    /// All panels, or nothing.
    prepared: &'a [f32],
    columns: usize,
    bias: &'a [f32],
    finish: Finish,
    to: Shared<'a>,
}

impl Rows<'_> {
    fn compute(&self, crew: &Crew) {
        let (depth, lanes) = (self.matrix.depth(), crew.vectors.lanes());
        crew.pieces(self.columns, VECTORS * lanes, 2 * self.rows * depth * self.columns, |columns| {
            if !self.prepared.is_empty() {
                let panel = &self.prepared[columns.start * depth..];
                return crew.vectors.run(PanelOfRows { rows: self, panel, columns });
            }
            scratch::with(depth * width(columns.len(), lanes), |panel| {
                self.matrix.pack(columns.clone(), lanes, panel);
                crew.vectors.run(PanelOfRows { rows: self, panel, columns });
            });
        });
    }
}

struct PanelOfRows<'a> {
    rows: &'a Rows<'a>,
    panel: &'a [f32],
    columns: Range<usize>,
}

impl SimdLoop for PanelOfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let rows = self.rows;
        let panel = Panel {
            weights: self.panel,
            columns: self.columns.len(),
            taps: &[0],
            run: rows.matrix.depth(),
            bias: if rows.bias.is_empty() { &[] } else { &rows.bias[self.columns.clone()] },
            finish: rows.finish,
        };
        let from = rows.from.as_ptr();
        let to = rows.to.start();
        // SAFETY: inside `Vectors::run`; every row has as many numbers as the matrix is deep, and this task alone writes
        // these columns.
        unsafe {
            product::<S>(
                panel,
                rows.rows,
                |row| from.add(row * rows.matrix.depth()),
                |row| to.add(row * rows.columns + self.columns.start),
            );
        }
    }
}

impl Kernel for Linear {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: self.slope.is_some() }
    }

    fn rectified(&self, slope: f32) -> Option<Arc<dyn Kernel>> {
        self.slope.is_none().then(|| Arc::new(Self { slope: Some(slope), ..self.clone() }) as _)
    }

    fn prepared(&self, lanes: usize) -> usize {
        packed(self.inputs, self.outputs, lanes)
    }

    fn prepare(&self, parameters: &[&[f32]], crew: &Crew, to: &mut [f32]) {
        self.by_output(parameters[0]).pack_all(self.outputs, crew.vectors.lanes(), to);
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let rows = Rows {
            rows: pass.rows,
            from: pass.inputs[0],
            matrix: self.by_output(pass.parameters[0]),
            prepared: pass.prepared,
            columns: self.outputs,
            bias: pass.parameters[1],
            finish: self.slope.map_or(Finish::Store, Finish::Rectify),
            to: Shared::new(pass.output),
        };
        rows.compute(pass.crew);
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let BackwardPass {
            rows, inputs, parameters, output, gradient, input_gradients, parameter_gradients, crew, ..
        } = pass;
        if let Some(slope) = self.slope {
            let shared = Shared::new(gradient);
            crew.pieces(rows * self.outputs, 1 << 14, rows * self.outputs, |range| {
                // SAFETY: pieces do not overlap.
                Rectifier { slope }.turn_back(unsafe { shared.part(range.clone()) }, &output[range]);
            });
        }
        let gradient = &*gradient;
        let [weight, bias, ..] = parameter_gradients else { unreachable!("a layer has a weight and a bias") };
        bias.fill(0.0);
        column_sums(gradient, self.outputs, bias);
        let target = Shared::new(weight);
        let lanes = crew.vectors.lanes();
        crew.pieces(self.inputs, VECTORS * lanes, self.operations(rows), |columns| {
            crew.vectors.run(WeightColumns { layer: self, rows, input: inputs[0], gradient, target, columns });
        });
        let (finish, to) = match &mut input_gradients[0] {
            Arrival::Unwanted | Arrival::InPlace => return,
            Arrival::First(values) => (Finish::Store, Shared::new(values)),
            Arrival::Further(values) => (Finish::Add, Shared::new(values)),
        };
        let matrix = self.by_input(parameters[0]);
        Rows { rows, from: gradient, matrix, prepared: &[], columns: self.inputs, bias: &[], finish, to }.compute(crew);
    }
}

/// Some columns of the gradient by the weight: sums of outer products over rows.
struct WeightColumns<'a> {
    layer: &'a Linear,
    rows: usize,
    input: &'a [f32],
    gradient: &'a [f32],
    target: Shared<'a>,
    columns: Range<usize>,
}

impl SimdLoop for WeightColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let Linear { inputs, outputs, .. } = *self.layer;
        let pairs =
            Pairs { count: self.rows, left_step: outputs, right_step: inputs, lines: 1, left_line: 0, right_line: 0 };
        // SAFETY: inside `Vectors::run`; the columns lie within every row, and this task alone writes them.
        unsafe {
            let block = Block {
                target: self.target.start().add(self.columns.start),
                pitch: inputs,
                rows: outputs,
                columns: self.columns.len(),
                finish: Finish::Store,
            };
            outer::<S>(pairs, self.gradient.as_ptr(), self.input.as_ptr().add(self.columns.start), block);
        }
    }
}
