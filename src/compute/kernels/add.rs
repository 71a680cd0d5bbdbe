//! The sum of several inputs, number by number.

use std::sync::Arc;

use super::activation::Function;
use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::{PIECE, Put};
use super::rectifier::Rectifier;
use crate::compute::vectors::{Loop, widest};

/// The sum of two or more inputs, with a rectifier behind it or not.
#[derive(Debug, Clone, Default)]
pub struct Add {
    slope: Option<f32>,
}

impl Kernel for Add {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: self.slope.is_some() }
    }

    fn passes_on(&self) -> Option<usize> {
        Some(1)
    }

    fn rectified(&self, slope: f32) -> Option<Arc<dyn Kernel>> {
        self.slope.is_none().then(|| Arc::new(Self { slope: Some(slope) }) as _)
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (count, inputs) = (pass.output.len(), pass.inputs);
        let output = Shared::new(pass.output);
        pass.crew.pieces(count, PIECE, 5 * inputs.len() * count, |range| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { output.part(range.clone()) };
            let slope = |last: usize| if last + 1 == inputs.len() { self.slope.unwrap_or(1.0) } else { 1.0 };
            widest(Sum { one: Some(&inputs[0][range.clone()]), other: &inputs[1][range.clone()], slope: slope(1), to });
            for (index, other) in inputs.iter().enumerate().skip(2) {
                widest(Sum { one: None, other: &other[range.clone()], slope: slope(index), to });
            }
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (count, output) = (pass.gradient.len(), pass.output);
        let operations = 5 * (pass.input_gradients.len() + 1) * count;
        let gradient = Shared::new(pass.gradient);
        let places: Vec<(Shared<'_>, Put)> = pass.input_gradients.iter_mut().filter_map(|to| to.place()).collect();
        pass.crew.pieces(count, PIECE, operations, |range| {
            // SAFETY: pieces do not overlap.
            let gradient = unsafe { gradient.part(range.clone()) };
            if let Some(slope) = self.slope {
                Rectifier { slope }.turn_back(gradient, &output[range.clone()]);
            }
            for &(to, put) in &places {
                // SAFETY: pieces do not overlap.
                widest(Pass { gradient: &*gradient, put, to: unsafe { to.part(range.clone()) } });
            }
        });
    }
}

/// The sum of two slices, or of what stands there and one, rectified.
struct Sum<'a> {
    one: Option<&'a [f32]>,
    other: &'a [f32],
    slope: f32,
    to: &'a mut [f32],
}

impl Loop for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rectified = |sum: f32| Rectifier { slope: self.slope }.value(sum);
        match self.one {
            Some(one) => {
                let both = one.iter().zip(self.other);
                self.to.iter_mut().zip(both).for_each(|(to, (one, other))| *to = rectified(one + other));
            }
            None => self.to.iter_mut().zip(self.other).for_each(|(to, other)| *to = rectified(*to + other)),
        }
    }
}

/// A gradient that goes on as it is.
struct Pass<'a> {
    gradient: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl Loop for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.put.all(self.to, self.gradient.iter().copied());
    }
}
