//! What an op declares and does: the one trait behind every node.
//!
//! An op lives in one file of [`super::ops`] and answers everything the rest of the crate asks: its shape, its channel
//! relation, its parameters, its two passes, its reference in f64 and its cost. Growth needs nothing else.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;

use super::channels::ChannelRelation;
use super::error::NetworkError;
use super::parameter::ParameterSpec;
use super::shape::Shape;
use crate::compute::kernels::Kernel;

/// Whether a pass is one of training (batch statistics, dropout) or of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Running statistics, no dropout. The only mode whose outputs are served.
    Evaluate,
    /// Batch statistics; dropout masks are drawn for (seed, step, node).
    Train { seed: u64, step: u64 },
}

/// The values that an activation leaves alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FixedSet {
    /// None that could be relied on: no activation, or one that bends everything (Tanh, Sigmoid, GELU, SiLU).
    #[default]
    Nothing,
    /// All numbers from 0 up: ReLU, LeakyReLU.
    NonNegative,
    /// All numbers, while every parameter of the op is 1 (PReLU with slope 1) or it has none of its own to bend them
    /// (Maxout over pieces that are the same).
    Everything,
}

/// The work of one row through a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations of one forward pass of one row, a multiply-add counted as two.
    pub flops: u64,
}

/// What a forward pass of a node gives.
pub struct Forward {
    /// The batch of outputs: the output shape with the batch axis in front.
    pub output: Tensor,
    /// What this op's `backward` wants to see again (not its inputs, parameters or output: those it is given anyway).
    pub saved: Vec<Tensor>,
    /// New values of the node's statistics, by name (BatchNorm in training); empty for most.
    pub statistics: Vec<(&'static str, Tensor)>,
}

impl Forward {
    /// An output with nothing kept.
    pub fn plain(output: Tensor) -> Self {
        Self { output, saved: Vec::new(), statistics: Vec::new() }
    }
}

/// What a node's forward pass is given. `parameters` stand in the order of [`Op::parameters`].
pub struct ForwardInput<'a> {
    /// The batches that enter, in order of the node's inputs.
    pub inputs: &'a [&'a Tensor],
    /// The node's parameters, in the order of their declaration.
    pub parameters: &'a [&'a Tensor],
    /// Training or evaluation.
    pub mode: Mode,
    /// The node's id, for the randomness of dropout.
    pub node: &'a str,
}

/// What a node's backward pass is given, after its forward pass in training mode.
pub struct BackwardInput<'a> {
    /// The inputs of the forward pass.
    pub inputs: &'a [&'a Tensor],
    /// The parameters of the forward pass.
    pub parameters: &'a [&'a Tensor],
    /// The output of the forward pass.
    pub output: &'a Tensor,
    /// What the forward pass kept.
    pub saved: &'a [Tensor],
    /// The gradient of the loss by the output, of the output's shape.
    pub gradient: &'a Tensor,
    /// For each input whether its gradient is wanted (the network's input needs none).
    pub needed: &'a [bool],
}

/// What a node's backward pass gives.
pub struct Backward {
    /// The gradient by each input; `None` where it was not needed.
    pub inputs: Vec<Option<Tensor>>,
    /// The gradient by each parameter; `None` for statistics.
    pub parameters: Vec<Option<Tensor>>,
}

/// A batch in the reference evaluator: row-major f64 of `shape` with `rows` in front.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceBatch {
    /// How many rows.
    pub rows: usize,
    /// The shape of one row.
    pub shape: Shape,
    /// `rows * shape.elements()` numbers.
    pub values: Vec<f64>,
}

impl ReferenceBatch {
    /// These rows, each of `shape`.
    pub fn of(shape: &Shape, rows: &[Vec<f32>]) -> Self {
        let values = rows.iter().flatten().copied().map(f64::from).collect();
        Self { rows: rows.len(), shape: shape.clone(), values }
    }
}

/// What a node's reference pass is given: the same as [`ForwardInput`], in f64.
pub struct ReferenceInput<'a> {
    /// The batches that enter.
    pub inputs: &'a [&'a ReferenceBatch],
    /// The node's parameters, row-major, in the order of their declaration.
    pub parameters: &'a [&'a [f64]],
    /// Training or evaluation.
    pub mode: Mode,
    /// The node's id, for the randomness of dropout: the same mask as the forward pass.
    pub node: &'a str,
}

/// An op: stateless, its hyperparameters only.
pub trait Op: Debug + Send + Sync + 'static {
    /// The name in documents: `linear`, `conv2d`, …
    fn kind(&self) -> &'static str;

    /// The hyperparameters as a JSON object, without the kind; [`super::ops::from_document`] reads it back.
    fn document(&self) -> serde_json::Map<String, serde_json::Value>;

    /// The output's shape for these inputs, or why they do not fit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// How output channels relate to input channels.
    fn channels(&self, inputs: &[Shape]) -> ChannelRelation;

    /// The parameters for these inputs, always in the same order; most ops have none.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The same op with `channels` output channels: for the relation `Produces`. `None` for every other op.
    fn with_channels(&self, _channels: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// The same op taking the channels `start..end` of its input: for the relation `Takes`, whose range moves when the
    /// channels before it or in it grow. `None` for every other op.
    fn with_range(&self, _start: usize, _end: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// Whether this op makes new channels: the relation `Produces`, which does not depend on its inputs.
    fn produces_channels(&self) -> bool {
        false
    }

    /// For an activation, or a layer that contains one: the values that it leaves alone when it stands behind an identity,
    /// so that a new layer can end in it (Net2Net §2.3).
    fn fixes(&self) -> FixedSet {
        FixedSet::Nothing
    }

    /// A layer of this kind that keeps the shape `input` and has an identity among its weights: what a deepening puts
    /// behind it. `None` where that is for the shape to say: every op that produces no channels.
    fn layer_like(&self, _input: &Shape) -> Option<Arc<dyn Op>> {
        None
    }

    /// Whether every output is non-negative whenever every input is (ReLU: always; see [`Op::output_is_nonnegative`]).
    fn keeps_nonnegative(&self) -> bool {
        false
    }

    /// Whether every output is non-negative whatever the inputs are.
    fn output_is_nonnegative(&self) -> bool {
        false
    }

    /// The forward pass with tensors.
    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError>;

    /// The backward pass with tensors.
    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError>;

    /// How the CPU computes it on plain slices, channels last: both passes, of the same meaning as the two above. `None`
    /// leaves it to tensors.
    fn kernel(&self, _inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// For a rectifier, max(x, slope * x): its slope, at least 0. A kernel before it may do its work in passing.
    fn rectifier(&self) -> Option<f32> {
        None
    }

    /// Whether its first parameter has one row for every output channel, its second one number, and the channel is their
    /// linear function: a factor and a shift of every channel behind it can then be folded into them.
    fn folds(&self) -> bool {
        false
    }

    /// For a norm whose statistics are fixed: the factor and the shift of every channel in evaluation.
    fn fixed_affine(&self, _parameters: &[&[f32]]) -> Option<(Vec<f32>, Vec<f32>)> {
        None
    }

    /// The forward pass in f64 with plain loops, sums in index order: what the two passes above are held against.
    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch;

    /// The work of one row.
    fn cost(&self, inputs: &[Shape]) -> Cost;
}
