//! An image as a flat row, whose numbers stand channel by channel: the order of its tensor.

use super::kernel::{Arrival, BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::plane::{channels_first, channels_last};
use super::scratch;

/// Images of a place as flat rows.
#[derive(Debug, Clone)]
pub struct Flatten {
    /// An image.
    pub place: Place,
}

impl Kernel for Flatten {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn changes_nothing(&self, _: bool) -> bool {
        self.place.channels == 1 || self.place.positions() == 1
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        channels_first(pass.inputs[0], self.place, pass.output, pass.crew);
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        match &mut pass.input_gradients[0] {
            Arrival::Unwanted | Arrival::InPlace => {}
            Arrival::First(to) => channels_last(pass.gradient, self.place, to, pass.crew),
            Arrival::Further(to) => scratch::with(to.len(), |turned| {
                channels_last(pass.gradient, self.place, turned, pass.crew);
                to.iter_mut().zip(turned).for_each(|(sum, gradient)| *sum += *gradient);
            }),
        }
    }
}
