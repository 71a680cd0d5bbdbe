//! Split: one part of a split of its input, the channels `start..end`. A split into several parts is several of these.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::document::{Fields, written};
use super::single;
use crate::compute::kernels::{self, Kernel};
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::shape::Shape;

/// A range of the channels of a flat row or an image. It need not be a part of a partition: ranges may overlap, and what
/// no range takes is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The first channel that it takes.
    pub start: usize,
    /// The channel behind the last that it takes; above `start`.
    pub end: usize,
}

impl Split {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let fields = Fields::exactly(document, &["end", "start"])?;
        let op = Self { start: fields.size("start")?, end: fields.size("end")? };
        op.check()?;
        Ok(Arc::new(op))
    }

    fn check(&self) -> Result<(), String> {
        if self.start < self.end { Ok(()) } else { Err("`start` is below `end`".into()) }
    }

    fn width(&self) -> usize {
        self.end - self.start
    }
}

impl Op for Split {
    fn kind(&self) -> &'static str {
        "split"
    }

    fn document(&self) -> Map<String, Value> {
        written([("start", json!(self.start)), ("end", json!(self.end))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.check()?;
        let input = single(inputs)?;
        if self.end > input.channels() {
            return Err(format!("`end` is at most {}, the number of channels that enter", input.channels()));
        }
        Ok(input.with_channels(self.width()))
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::Takes { start: self.start, end: self.end }
    }

    fn with_range(&self, start: usize, end: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { start, end }))
    }

    fn keeps_nonnegative(&self) -> bool {
        true
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        Ok(Forward::plain(input.inputs[0].narrow(1, self.start, self.width())?.contiguous()?))
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        if !input.needed[0] {
            return Ok(Backward { inputs: vec![None], parameters: Vec::new() });
        }
        let behind = input.inputs[0].dim(1)? - self.end;
        let gradient = input.gradient.contiguous()?.pad_with_zeros(1, self.start, behind)?;
        Ok(Backward { inputs: vec![Some(gradient)], parameters: Vec::new() })
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(Arc::new(kernels::Split { start: self.start, channels: self.width(), of: inputs[0].channels() }))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        let batch = input.inputs[0];
        let positions = batch.shape.positions();
        let rows = batch.values.chunks_exact(batch.shape.elements());
        let values = rows.flat_map(|row| &row[self.start * positions..self.end * positions]).copied().collect();
        ReferenceBatch { rows: batch.rows, shape: batch.shape.with_channels(self.width()), values }
    }

    fn cost(&self, _: &[Shape]) -> Cost {
        Cost::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::op::Mode;
    use crate::network::ops::tests::{Layout, Trial, batches, forward, numbers, tensor};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference(
            (shape, rows) in batches(),
            (start, width, behind) in (0usize..4, 1usize..4, 0usize..4),
            seed: u64,
        ) {
            let end = start + width;
            Trial::training(Split { start, end }, &[shape.with_channels(end + behind)], rows, seed).check();
        }
    }

    #[test]
    fn it_takes_the_channels_of_its_range_with_their_planes() {
        let images = tensor(&(0..12).map(f64::from).collect::<Vec<_>>(), &[2, 3, 1, 2], Layout::Contiguous);
        let output = forward(&Split { start: 1, end: 2 }, &[&images], &[], Mode::Evaluate).output;
        assert_eq!((output.dims(), numbers(&output)), (&[2, 1, 1, 2][..], vec![2.0, 3.0, 8.0, 9.0]));
    }

    #[test]
    fn its_range_can_move() {
        let moved = Split { start: 1, end: 3 }.with_range(4, 9).unwrap();
        assert_eq!(moved.channels(&[Shape::flat(9)]), ChannelRelation::Takes { start: 4, end: 9 });
        assert_eq!(moved.output_shape(&[Shape::flat(9)]), Ok(Shape::flat(5)));
    }

    #[test]
    fn a_range_that_is_empty_or_reaches_past_the_channels_is_refused() {
        let takes = |start, end| Split { start, end }.output_shape(&[Shape::image(4, 2, 2)]);
        assert_eq!(takes(0, 4), Ok(Shape::image(4, 2, 2)));
        assert!(takes(2, 5).unwrap_err().contains("at most 4"));
        assert!(takes(2, 2).is_err() && takes(3, 2).is_err());
        assert!(Split { start: 0, end: 1 }.output_shape(&[]).is_err());
        assert!(Split::read(&Split { start: 3, end: 3 }.document()).is_err());
    }
}
