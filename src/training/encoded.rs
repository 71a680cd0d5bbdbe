//! Encoded rows: examples as the numbers and labels that a network is trained and measured with.
//!
//! A value of one model's encoder and targets; another version encodes the same examples differently. Called by the
//! trainer, before steps and evaluations.

use candle_core::{Device, Tensor};

use crate::network::Shape;
use crate::registry::Model;
use crate::stream::{Seq, StoredExample};

/// The labels of encoded rows.
#[derive(Debug, Clone, PartialEq)]
pub enum EncodedLabels {
    /// The output of each row's class; `None` for a class that the model does not have.
    Classes(Vec<Option<u32>>),
    /// The targets in their own units.
    Numbers(Vec<f64>),
}

/// Examples, encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedRows {
    /// The places, in order of the rows.
    pub seqs: Vec<Seq>,
    /// The shape of one row.
    pub shape: Shape,
    /// `seqs.len() * shape.elements()` finite numbers, row after row.
    pub values: Vec<f32>,
    /// What was observed.
    pub labels: EncodedLabels,
}

impl EncodedRows {
    /// Encodes examples with the model's encoder and targets.
    pub fn encode(model: &Model, examples: &[StoredExample]) -> Self {
        let _ = (model, examples);
        unimplemented!("helper E1")
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// The rows `start..end` as a batch `[rows, …shape]`.
    pub fn tensor(&self, start: usize, end: usize, device: &Device) -> candle_core::Result<Tensor> {
        let _ = (start, end, device);
        unimplemented!("helper E1")
    }
}
