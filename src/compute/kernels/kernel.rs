//! What a kernel is: two passes over a batch, and what it needs kept between them.

use std::fmt::Debug;
use std::sync::Arc;

use super::crew::Crew;

/// The extent of one row's value: `height * width` positions of `channels` numbers; a flat row is one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Rows of positions; 1 for a flat row.
    pub height: usize,
    /// Positions of such a row; 1 for a flat row.
    pub width: usize,
    /// Numbers a position.
    pub channels: usize,
}

impl Place {
    /// How many positions a row has.
    pub fn positions(&self) -> usize {
        self.height * self.width
    }

    /// How many numbers a row has.
    pub fn numbers(&self) -> usize {
        self.positions() * self.channels
    }
}

/// Which of its values a kernel's backward pass reads again: the others are not kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Its inputs.
    pub inputs: bool,
    /// Its output.
    pub output: bool,
}

/// What keys the randomness of a training pass: dropout draws from it.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// The learner's seed.
    pub seed: u64,
    /// The number of the step.
    pub step: u64,
    /// The node's id.
    pub node: &'a str,
}

/// What a forward pass is given.
pub struct ForwardPass<'a> {
    /// Rows of the batch.
    pub rows: usize,
    /// Set in training (statistics of the batch, dropout); `None` in evaluation.
    pub training: Option<Draw<'a>>,
    /// The batches that enter, in order.
    pub inputs: &'a [&'a [f32]],
    /// The parameters in the order of the op's declaration.
    pub parameters: &'a [&'a [f32]],
    /// What [`Kernel::prepare`] made of the parameters; empty while they change with every step. With it the first
    /// parameter is not read and may be missing.
    pub prepared: &'a [f32],
    /// The batch that leaves; holds anything before.
    pub output: &'a mut [f32],
    /// What the backward pass will see again: `saved_per_row * rows + saved_per_batch` numbers. Empty in evaluation.
    pub saved: &'a mut [f32],
    /// In training one slice for each parameter: a kernel with running statistics writes their new values into theirs.
    /// Empty in evaluation.
    pub statistics: &'a mut [&'a mut [f32]],
    /// The threads and vectors to compute with.
    pub crew: &'a Crew,
}

/// Where the gradient of an input goes.
pub enum Arrival<'a> {
    /// Nobody asks for it.
    Unwanted,
    /// The first to arrive: it is written over what stands there.
    First(&'a mut [f32]),
    /// Another has arrived before: it is added.
    Further(&'a mut [f32]),
    /// The first to arrive, in the very place of the gradient by the output: it is left there. Only for the input that
    /// [`Kernel::passes_on`] names.
    InPlace,
}

/// What a backward pass is given, after a forward pass in training.
pub struct BackwardPass<'a> {
    /// Rows of the batch.
    pub rows: usize,
    /// The inputs of the forward pass, if the kernel needs them; else empty slices.
    pub inputs: &'a [&'a [f32]],
    /// The parameters of the forward pass.
    pub parameters: &'a [&'a [f32]],
    /// The output of the forward pass, if the kernel needs it; else empty.
    pub output: &'a [f32],
    /// What the forward pass saved.
    pub saved: &'a [f32],
    /// The gradient by the output. This kernel is its last reader and may write over it.
    pub gradient: &'a mut [f32],
    /// Where the gradient by each input goes.
    pub input_gradients: &'a mut [Arrival<'a>],
    /// Where the gradient by each parameter goes, in the op's order; written over. Those of running statistics hold their
    /// new values from the forward pass and are left alone.
    pub parameter_gradients: &'a mut [&'a mut [f32]],
    /// The threads and vectors to compute with.
    pub crew: &'a Crew,
}

/// A layer computed by plain loops. Sizes are checked by whoever compiles the program; a kernel may rely on them.
pub trait Kernel: Debug + Send + Sync {
    /// What the backward pass reads of the forward pass's values.
    fn needs(&self) -> Needs;

    /// Numbers a row that the forward pass saves for the backward pass.
    fn saved_per_row(&self) -> usize {
        0
    }

    /// Numbers a batch that it saves besides.
    fn saved_per_batch(&self) -> usize {
        0
    }

    /// Whether its output is its input, number for number, in a pass of training or of evaluation.
    fn changes_nothing(&self, _training: bool) -> bool {
        false
    }

    /// The input, of the output's size, whose gradient the backward pass can leave in the place of the output's gradient.
    fn passes_on(&self) -> Option<usize> {
        None
    }

    /// The same kernel followed by max(x, slope * x), in one pass; `None` where that gains nothing.
    fn rectified(&self, _slope: f32) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// Numbers that [`Kernel::prepare`] writes, for vectors of so many lanes.
    fn prepared(&self, _lanes: usize) -> usize {
        0
    }

    /// Lays parameters that will not change as the forward pass reads them, once for many passes.
    fn prepare(&self, _parameters: &[&[f32]], _crew: &Crew, _to: &mut [f32]) {}

    /// The forward pass.
    fn forward(&self, pass: ForwardPass<'_>);

    /// The backward pass.
    fn backward(&self, pass: BackwardPass<'_>);
}
