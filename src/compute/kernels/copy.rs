//! The same numbers at another place: for a layer that takes one value twice.

use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};

/// A copy of a value.
#[derive(Debug, Clone, Copy)]
pub struct Copy;

impl Kernel for Copy {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn passes_on(&self) -> Option<usize> {
        Some(0)
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        pass.output.copy_from_slice(pass.inputs[0]);
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        // SAFETY: nobody else has the slice.
        put.all(unsafe { to.part(0..pass.gradient.len()) }, pass.gradient.iter().copied());
    }
}
