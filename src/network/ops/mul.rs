//! Mul: the product of two or more inputs, element by element (gates, and the channel scaling of squeeze-excitation, Hu
//! et al. 2018). All of them share one channel mapping.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use super::document::Fields;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// The element-wise product of inputs of one shape; among images `[channels, height, width]` a flat row `[channels]` may
/// stand, whose number i scales the whole plane i. One tensor may enter twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mul;

impl Mul {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Mul {
    fn kind(&self) -> &'static str {
        "mul"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [first, _, ..] = inputs else {
            return Err(format!("takes two or more inputs, not {}", inputs.len()));
        };
        let output = largest(inputs.iter()).unwrap_or(first);
        let gate = Shape::flat(output.channels());
        match inputs.iter().find(|input| *input != output && **input != gate) {
            Some(other) => Err(format!("its inputs are {output}, or {gate} to scale every channel, not {other}")),
            None => Ok(output.clone()),
        }
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Unifies
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let factors = aligned(input.inputs)?;
        let mut product = factors[0].clone();
        for factor in &factors[1..] {
            product = product.broadcast_mul(factor)?;
        }
        Ok(Forward::plain(product))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let factors = aligned(input.inputs)?;
        // What arrives at every factor is the gradient times all before it and all behind it: the product divided by the
        // factor would be wrong where that is 0.
        let mut before = vec![input.gradient.clone()];
        for factor in &factors[..factors.len() - 1] {
            before.push(before[before.len() - 1].broadcast_mul(factor)?);
        }
        let mut behind: Option<Tensor> = None;
        let mut inputs = vec![None; factors.len()];
        for at in (0..factors.len()).rev() {
            if input.needed[at] {
                let arrived = match &behind {
                    Some(behind) => before[at].broadcast_mul(behind)?,
                    None => before[at].clone(),
                };
                inputs[at] = Some(gathered(arrived, input.inputs[at])?);
            }
            behind = Some(match behind {
                Some(behind) => factors[at].broadcast_mul(&behind)?,
                None => factors[at].clone(),
            });
        }
        Ok(Backward { inputs, parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        let place = self.output_shape(inputs).ok()?.place();
        Some(Arc::new(kernels::Mul { place, numbers: inputs.iter().map(Shape::elements).collect() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let shape = largest(input.inputs.iter().map(|batch| &batch.shape)).unwrap_or(&input.inputs[0].shape);
        let rows = input.inputs[0].rows;
        let mut values = vec![1.0; rows * shape.elements()];
        for batch in input.inputs {
            let same = if batch.shape == *shape { 1 } else { shape.positions() };
            values.iter_mut().enumerate().for_each(|(at, product)| *product *= batch.values[at / same]);
        }
        ReferenceBatch { rows, shape: shape.clone(), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        let elements = inputs.iter().map(Shape::elements).max().unwrap_or(0);
        Cost { flops: (inputs.len() as u64 - 1) * elements as u64 }
    }
}

/// The shape that all others have or scale: the first image, if there is one.
fn largest<'a>(mut shapes: impl Iterator<Item = &'a Shape>) -> Option<&'a Shape> {
    shapes.find(|shape| shape.plane().is_some())
}

/// The inputs with as many axes as the one that has most: a flat row beside images is `[rows, channels, 1, 1]`.
fn aligned(inputs: &[&Tensor]) -> candle_core::Result<Vec<Tensor>> {
    let rank = inputs.iter().map(|input| input.rank()).max().unwrap_or(0);
    let align = |input: &&Tensor| {
        let mut dims = input.dims().to_vec();
        dims.resize(rank, 1);
        input.reshape(dims)
    };
    inputs.iter().map(align).collect()
}

/// The gradient by an input of what has arrived at its elements: of a flat row's number, the sum over its plane.
fn gathered(arrived: Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
    if arrived.rank() == input.rank() { Ok(arrived) } else { arrived.contiguous()?.flatten_from(2)?.sum(2) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, batches, forward, images, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), count in 2usize..5, seed: u64) {
            Trial::training(Mul, &vec![shape; count], rows, seed).check();
        }

        #[test]
        fn flat_rows_scale_the_planes_of_images(
            (image, rows) in images(),
            gates in proptest::collection::vec(any::<bool>(), 1..4),
            at in 0usize..4,
            seed: u64,
        ) {
            let gate = Shape::flat(image.channels());
            let mut shapes: Vec<Shape> =
                gates.iter().map(|&is_gate| if is_gate { gate.clone() } else { image.clone() }).collect();
            shapes.insert(at % (gates.len() + 1), image);
            Trial::training(Mul, &shapes, rows, seed).check();
        }
    }

    fn gradients(inputs: &[&Tensor], gradient: &Tensor) -> Vec<Vec<f64>> {
        let output = forward(&Mul, inputs, &[], Mode::Evaluate).output;
        let needed = vec![true; inputs.len()];
        let (parameters, saved): (&[&Tensor], &[Tensor]) = (&[], &[]);
        let input = BackwardInput { inputs, parameters, output: &output, saved, gradient, needed: &needed };
        Mul.backward(input).unwrap().inputs.iter().map(|gradient| numbers(gradient.as_ref().unwrap())).collect()
    }

    #[test]
    fn zeros_have_the_gradient_of_the_others_product() {
        let row = |values: &[f64]| tensor(values, &[1, 3], Layout::Contiguous);
        let (a, b, c) = (row(&[0.0, 0.0, 2.0]), row(&[3.0, 0.0, 5.0]), row(&[7.0, 4.0, 0.0]));
        let found = gradients(&[&a, &b, &c], &row(&[1.0, 1.0, 2.0]));
        assert_eq!(found, [[21.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 20.0]]);
    }

    #[test]
    fn a_tensor_that_enters_twice_has_the_gradient_of_its_square() {
        let row = tensor(&[3.0, 0.0, -2.0], &[1, 3], Layout::Contiguous);
        let found = gradients(&[&row, &row], &row.ones_like().unwrap());
        let sum: Vec<f64> = found[0].iter().zip(&found[1]).map(|(one, other)| one + other).collect();
        assert_eq!(sum, [6.0, 0.0, -4.0]);
    }

    #[test]
    fn inputs_that_are_fewer_than_two_or_do_not_fit_are_refused() {
        let (flat, image) = (Shape::flat(4), Shape::image(4, 2, 3));
        assert_eq!(Mul.output_shape(&[flat.clone(), flat.clone()]), Ok(flat.clone()));
        assert_eq!(Mul.output_shape(&[image.clone(), flat.clone()]), Ok(image.clone()));
        assert_eq!(Mul.output_shape(&[flat.clone(), image.clone(), image.clone()]), Ok(image.clone()));
        assert!(Mul.output_shape(&[]).unwrap_err().contains("not 0"));
        assert!(Mul.output_shape(std::slice::from_ref(&flat)).unwrap_err().contains("not 1"));
        assert!(Mul.output_shape(&[flat, Shape::flat(5)]).is_err());
        assert!(Mul.output_shape(&[image.clone(), Shape::flat(6)]).is_err());
        assert!(Mul.output_shape(&[image, Shape::image(4, 3, 2)]).is_err());
    }
}
