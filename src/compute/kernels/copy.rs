//! The same numbers at another place: for a layer that takes one value twice.

use super::kernel::{Arrival, BackwardPass, ForwardPass, Kernel, Needs};

/// A copy of a value.
#[derive(Debug, Clone, Copy)]
pub struct Copy;

impl Kernel for Copy {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        pass.output.copy_from_slice(pass.inputs[0]);
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        match &mut pass.input_gradients[0] {
            Arrival::Unwanted => {}
            Arrival::First(values) => values.copy_from_slice(pass.gradient),
            Arrival::Further(values) => values.iter_mut().zip(&*pass.gradient).for_each(|(sum, one)| *sum += one),
        }
    }
}
