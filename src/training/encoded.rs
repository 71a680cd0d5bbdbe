//! Encoded rows: examples as the numbers and labels that a network is trained and measured with.
//!
//! A value of one model's encoder and targets; another version encodes the same examples differently. Called by the
//! trainer, before steps and evaluations.

use candle_core::{Device, Tensor};

use crate::network::Shape;
use crate::registry::Model;
use crate::stream::{Label, Seq, StoredExample, Targets};

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
    pub fn encode<'a>(model: &Model, examples: impl IntoIterator<Item = &'a StoredExample>) -> Self {
        let examples: Vec<&StoredExample> = examples.into_iter().collect();
        let shape = model.encoder.shape();
        let mut values = Vec::with_capacity(examples.len() * shape.elements());
        for example in &examples {
            model.encoder.encode_into(&example.row, &mut values);
        }
        let labels = match &model.targets {
            Targets::Classes { .. } => EncodedLabels::Classes(
                examples.iter().map(|example| class_output(&model.targets, &example.label)).collect(),
            ),
            Targets::Number { .. } => {
                EncodedLabels::Numbers(examples.iter().map(|example| number(&example.label)).collect())
            }
        };
        Self { seqs: examples.iter().map(|example| example.seq).collect(), shape, values, labels }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// Row number `row`, as a certificate's probe takes it.
    pub fn row(&self, row: usize) -> &[f32] {
        let size = self.shape.elements();
        &self.values[row * size..(row + 1) * size]
    }

    /// The rows `start..end` as a batch `[rows, …shape]`.
    pub fn tensor(&self, start: usize, end: usize, device: &Device) -> candle_core::Result<Tensor> {
        let size = self.shape.elements();
        Tensor::from_slice(&self.values[start * size..end * size], self.shape.batched(end - start), device)
    }
}

fn class_output(targets: &Targets, label: &Label) -> Option<u32> {
    match label {
        Label::Class(class) => targets.class_index(class).and_then(|index| u32::try_from(index).ok()),
        Label::Number(_) => None,
    }
}

/// The stream's schema check lets no class into a regression, so the NaN never appears; if it did, the step that met it
/// would be undone and counted.
fn number(label: &Label) -> f64 {
    match label {
        Label::Number(number) => *number,
        Label::Class(_) => f64::NAN,
    }
}
