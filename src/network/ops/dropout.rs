//! Dropout (Srivastava et al. 2014), inverted: what is kept in training is scaled up, evaluation changes nothing.
//!
//! The mask is a function of (seed, step, node) and the position in the batch, so the reference draws the same one.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use super::document::{Fields, written};
use super::single;
use crate::compute::kernels::{self, Draw, Kernel, Mask};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::shape::Shape;

/// Sets elements to 0 in training and divides the others by the probability of being kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    /// How likely an element is dropped: at least 0, below 1.
    pub probability: f64,
}

impl Dropout {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let op = Self { probability: Fields::exactly(document, &["probability"])?.number("probability")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if (0.0..1.0).contains(&self.probability) {
            return Ok(());
        }
        Err("`probability` is at least 0 and below 1".into())
    }

    /// The factors of a batch's elements in row-major order; `None` where nothing is dropped.
    fn factors(&self, mode: Mode, node: &str) -> Option<impl Iterator<Item = f64>> {
        let Mode::Train { seed, step } = mode else { return None };
        if self.probability == 0.0 {
            return None;
        }
        let mask = Mask::drawn(self.probability, Draw { seed, step, node });
        let kept = 1.0 / (1.0 - self.probability);
        Some((0u32..).map(move |index| if mask.keeps(index) { kept } else { 0.0 }))
    }
}

impl Op for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn document(&self) -> Map<String, Value> {
        written([("probability", json!(self.probability))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        single(inputs).cloned()
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Carries
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let batch = input.inputs[0];
        let Some(factors) = self.factors(input.mode, input.node) else {
            return Ok(Forward::plain(batch.clone()));
        };
        let factors: Vec<f32> = factors.take(batch.elem_count()).map(|factor| factor as f32).collect();
        let mask = Tensor::from_vec(factors, batch.shape(), batch.device())?;
        Ok(Forward { output: (batch * &mask)?, saved: vec![mask], statistics: Vec::new() })
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let gradient = match (input.needed[0], input.saved) {
            (false, _) => None,
            (true, [mask]) => Some((input.gradient * mask)?),
            (true, _) => Some(input.gradient.clone()),
        };
        Ok(Backward { inputs: vec![gradient], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Dropout { place: inputs[0].place(), probability: self.probability }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let mut batch = input.inputs[0].clone();
        if let Some(factors) = self.factors(input.mode, input.node) {
            batch.values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
        batch
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Layout, Trial, batches, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), probability in 0.0..0.95, seed: u64) {
            Trial::training(Dropout { probability }, &[shape], rows, seed).check();
        }
    }

    fn train(probability: f64, step: u64, node: &str) -> Vec<f64> {
        let batch = tensor(&[1.0; 4000], &[4, 1000], Layout::Contiguous);
        let mode = Mode::Train { seed: 5, step };
        let input = ForwardInput { inputs: &[&batch], parameters: &[], mode, node };
        numbers(&Dropout { probability }.forward(input).unwrap().output)
    }

    #[test]
    fn the_share_that_is_dropped_is_the_probability_and_the_mean_stays() {
        let output = train(0.2, 1, "a");
        let dropped = output.iter().filter(|&&value| value == 0.0).count();
        assert!((700..900).contains(&dropped), "{dropped} of 4000");
        assert!(output.iter().all(|&value| value == 0.0 || value == 1.25));
    }

    #[test]
    fn the_mask_is_a_function_of_step_and_node() {
        assert_eq!(train(0.5, 1, "a"), train(0.5, 1, "a"));
        assert_ne!(train(0.5, 1, "a"), train(0.5, 2, "a"));
        assert_ne!(train(0.5, 1, "a"), train(0.5, 1, "b"));
        assert!(train(0.0, 1, "a").iter().all(|&value| value == 1.0));
    }
}
