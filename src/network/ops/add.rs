//! Add: the sum of two or more inputs of one shape (residual networks). All of them share one channel mapping.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::Fields;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// The element-wise sum; one tensor may enter twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Add;

impl Add {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        Fields::exactly(document, &[])?;
        Ok(Arc::new(Self))
    }
}

impl Op for Add {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn document(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [first, others @ ..] = inputs else {
            return Err("takes two or more inputs, not 0".into());
        };
        if others.is_empty() {
            return Err("takes two or more inputs, not 1".into());
        }
        match others.iter().find(|other| *other != first) {
            Some(other) => Err(format!("its inputs are of one shape, not {first} and {other}")),
            None => Ok(first.clone()),
        }
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Unifies
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let mut sum = input.inputs[0].clone();
        for other in &input.inputs[1..] {
            sum = (sum + *other)?;
        }
        Ok(Forward::plain(sum))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient = |needed: &bool| needed.then(|| input.gradient.clone());
        Ok(Backward { inputs: input.needed.iter().map(gradient).collect(), parameters: Vec::new() })
    }

    fn kernel(&self, _: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Add::default()))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mut sum = input.inputs[0].clone();
        for other in &input.inputs[1..] {
            sum.values.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        Cost { flops: (inputs.len() as u64 - 1) * inputs[0].elements() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), count in 2usize..5, seed: u64) {
            Trial::training(Add, &vec![shape; count], rows, seed).check();
        }
    }

    #[test]
    fn inputs_that_are_fewer_than_two_or_differ_are_refused() {
        let (flat, image) = (Shape::flat(4), Shape::image(1, 2, 2));
        assert!(Add.output_shape(&[]).is_err());
        assert!(Add.output_shape(std::slice::from_ref(&flat)).is_err());
        assert!(Add.output_shape(&[flat.clone(), image]).is_err());
        assert!(Add.output_shape(&[flat.clone(), flat.clone(), Shape::flat(5)]).is_err());
        assert_eq!(Add.output_shape(&[flat.clone(), flat.clone()]), Ok(flat));
    }
}
