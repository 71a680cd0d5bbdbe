//! Maxout: a layer whose every output is the largest of several linear pieces (Goodfellow et al. 2013): its own
//! activation.
//!
//! The gradient goes to the first largest piece.

use std::sync::Arc;

use candle_core::{D, DType, Tensor};
use serde_json::{Map, Value, json};

use super::document::{Fields, written};
use super::linear::column_sums;
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::compute::precision::product;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{
    Backward, BackwardInput, Cost, FixedSet, Forward, ForwardInput, Mode, Op, ReferenceBatch, ReferenceInput,
};
use crate::network::parameter::{AxisRole, Initial, ParameterKind, ParameterSpec};
use crate::network::shape::Shape;

/// The most pieces of one output.
const MAX_PIECES: usize = 1024;

/// A maxout layer over flat rows: `weight` `[out, pieces, in]` and `bias` `[out, pieces]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maxout {
    /// How many output channels.
    pub out: usize,
    /// How many pieces each of them has.
    pub pieces: usize,
}

impl Maxout {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["out", "pieces"])?;
        let op = Self { out: fields.size("out")?, pieces: fields.size("pieces")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if self.out == 0 {
            return Err("`out` is at least 1".into());
        }
        if !(1..=MAX_PIECES).contains(&self.pieces) {
            return Err(format!("`pieces` is from 1 to {MAX_PIECES}"));
        }
        Ok(())
    }

    /// The weight as the matrix of a linear layer, `[out * pieces, in]`.
    fn matrix(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        weight.contiguous()?.flatten(0, 1)
    }
}

impl Op for Maxout {
    fn kind(&self) -> &'static str {
        "maxout"
    }

    fn document(&self) -> Map<String, Value> {
        written([("out", json!(self.out)), ("pieces", json!(self.pieces))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        match single(inputs)?.plane() {
            None => Ok(Shape::flat(self.out)),
            Some(_) => Err(format!("takes a flat row, not {}; `flatten` makes one of an image", inputs[0])),
        }
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Produces { channels: self.out }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let fan_in = inputs[0].channels();
        vec![
            ParameterSpec {
                name: "weight",
                dims: vec![self.out, self.pieces, fan_in],
                axes: vec![AxisRole::Out, AxisRole::Piece, AxisRole::In { input: 0 }],
                kind: ParameterKind::Trained,
                initial: Initial::HeNormal { fan_in },
            },
            ParameterSpec {
                name: "bias",
                dims: vec![self.out, self.pieces],
                axes: vec![AxisRole::Out, AxisRole::Piece],
                kind: ParameterKind::Trained,
                initial: Initial::Constant(0.0),
            },
        ]
    }

    fn with_channels(&self, channels: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { out: channels, ..self.clone() }))
    }

    fn produces_channels(&self) -> bool {
        true
    }

    /// Pieces that are the same leave whatever they give alone (Net2Net §2.3 names maxout for this).
    fn fixes(&self) -> FixedSet {
        FixedSet::Everything
    }

    fn layer_like(&self, input: &Shape) -> Option<Arc<dyn Op>> {
        input.plane().is_none().then(|| Arc::new(Self { out: input.channels(), ..self.clone() }) as _)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        let (rows, matrix) = (input.inputs[0].contiguous()?, self.matrix(input.parameters[0])?);
        let bias = input.parameters[1].flatten_all()?;
        let all = product(&rows, &matrix.t()?)?.broadcast_add(&bias)?.reshape(((), self.out, self.pieces))?;
        let piece = |index| all.narrow(D::Minus1, index, 1)?.contiguous();
        let training = matches!(input.mode, Mode::Train { .. });
        let mut best = piece(0)?;
        let mut chosen = Tensor::zeros(best.shape(), DType::U32, best.device())?;
        for index in 1..self.pieces {
            let value = piece(index)?;
            let larger = value.gt(&best)?;
            best = larger.where_cond(&value, &best)?;
            if training {
                chosen = larger.where_cond(&chosen.ones_like()?.affine(index as f64, 0.0)?, &chosen)?;
            }
        }
        let output = best.squeeze(D::Minus1)?;
        Ok(Forward { output, saved: if training { vec![chosen] } else { Vec::new() }, statistics: Vec::new() })
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        let (rows, matrix) = (input.inputs[0].contiguous()?, self.matrix(input.parameters[0])?);
        let gradient = input.gradient.contiguous()?.unsqueeze(D::Minus1)?;
        let (count, out, _) = gradient.dims3()?;
        let all = Tensor::zeros((count, out, self.pieces), gradient.dtype(), gradient.device())?;
        let all = all.scatter_add(&input.saved[0], &gradient, D::Minus1)?.flatten_from(1)?;
        let by_input = if input.needed[0] { Some(product(&all, &matrix)?) } else { None };
        let by_weight = product(&all.t()?, &rows)?.reshape(input.parameters[0].shape())?;
        let by_bias = column_sums(&all)?.reshape(input.parameters[1].shape())?;
        Ok(Backward { inputs: vec![by_input], parameters: vec![Some(by_weight), Some(by_bias)] })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Maxout::new(inputs[0].channels(), self.out, self.pieces)))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let (batch, weight, bias) = (input.inputs[0], input.parameters[0], input.parameters[1]);
        let width = batch.shape.channels();
        let mut values = Vec::with_capacity(batch.rows * self.out);
        for row in batch.values.chunks_exact(width) {
            let pieces = weight.chunks_exact(width * self.pieces).zip(bias.chunks_exact(self.pieces));
            for (weights, biases) in pieces {
                let pieces = weights.chunks_exact(width).zip(biases);
                let sums = pieces.map(|(w, bias)| row.iter().zip(w).fold(0.0, |sum, (x, w)| sum + x * w) + bias);
                values.push(sums.fold(f64::NEG_INFINITY, f64::max));
            }
        }
        ReferenceBatch { rows: batch.rows, shape: Shape::flat(self.out), values }
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        let (wide, out, pieces) = (inputs[0].channels() as u64, self.out as u64, self.pieces as u64);
        // The bias of every piece, and one comparison less than there are pieces.
        Cost { flops: out * (pieces * (2 * wide + 1) + pieces - 1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Layout, Trial, forward, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(
            out in 1usize..8,
            pieces in 1usize..5,
            wide in 1usize..8,
            rows in 1usize..6,
            seed: u64,
        ) {
            let trial = Trial::training(Maxout { out, pieces }, &[Shape::flat(wide)], rows, seed);
            prop_assume!(smallest_lead(&trial, pieces) > 1e-3);
            trial.check();
        }
    }

    /// By how much the largest piece of any output leads before the next: at a tie there is no gradient to compare
    /// with.
    fn smallest_lead(trial: &Trial, pieces: usize) -> f64 {
        let (inputs, parameters) = trial.values();
        let wide = inputs[0].shape.channels();
        let mut smallest = f64::INFINITY;
        for row in inputs[0].values.chunks(wide) {
            let piece =
                |(weights, bias): (&[f64], &f64)| row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() + bias;
            let all: Vec<f64> = parameters[0].chunks(wide).zip(&parameters[1]).map(piece).collect();
            for output in all.chunks(pieces) {
                let mut sorted = output.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                smallest = sorted.get(1).map_or(smallest, |next| smallest.min(sorted[0] - next));
            }
        }
        smallest
    }

    #[test]
    fn of_equal_pieces_the_first_takes_the_gradient() {
        let op = Maxout { out: 1, pieces: 3 };
        let row = tensor(&[2.0], &[1, 1], Layout::Contiguous);
        let (weight, bias) =
            (tensor(&[1.0, 3.0, 3.0], &[1, 3, 1], Layout::Contiguous), tensor(&[0.0; 3], &[1, 3], Layout::Contiguous));
        let forward = forward(&op, &[&row], &[&weight, &bias], Mode::Train { seed: 1, step: 1 });
        assert_eq!(numbers(&forward.output), [6.0]);
        let input = BackwardInput {
            inputs: &[&row],
            parameters: &[&weight, &bias],
            output: &forward.output,
            saved: &forward.saved,
            gradient: &forward.output.ones_like().unwrap(),
            needed: &[true],
        };
        let backward = op.backward(input).unwrap();
        let found: Vec<Vec<f64>> = backward.parameters.iter().flatten().map(numbers).collect();
        assert_eq!(found, [[0.0, 2.0, 0.0], [0.0, 1.0, 0.0]]);
        assert_eq!(numbers(backward.inputs[0].as_ref().unwrap()), [3.0]);
    }

    #[test]
    fn pieces_out_of_range_and_images_are_refused() {
        let op = Maxout { out: 3, pieces: 2 };
        assert_eq!(op.output_shape(&[Shape::flat(5)]), Ok(Shape::flat(3)));
        assert!(op.output_shape(&[Shape::image(1, 2, 2)]).unwrap_err().contains("flat"));
        assert!(Maxout { out: 0, pieces: 2 }.output_shape(&[Shape::flat(5)]).is_err());
        for pieces in [0, 1025, usize::MAX] {
            assert!(Maxout { out: 3, pieces }.output_shape(&[Shape::flat(5)]).unwrap_err().contains("pieces"));
        }
    }

    #[test]
    fn the_cost_counts_every_piece_and_the_comparisons() {
        assert_eq!(Maxout { out: 3, pieces: 2 }.cost(&[Shape::flat(5)]).flops, 3 * (2 * 11 + 1));
    }
}
