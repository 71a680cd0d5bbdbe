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

impl Default for EncodedRows {
    /// No rows, of no columns.
    fn default() -> Self {
        let labels = EncodedLabels::Classes(Vec::new());
        Self { seqs: Vec::new(), shape: Shape::flat(0), values: Vec::new(), labels }
    }
}

impl EncodedRows {
    /// Encodes examples with the model's encoder and targets.
    pub fn encode<'a>(model: &Model, examples: impl IntoIterator<Item = &'a StoredExample>) -> Self {
        let mut rows = Self::default();
        rows.fill(model, examples);
        rows
    }

    /// Encodes other examples, maybe of another model, into the memory of these rows.
    pub fn fill<'a>(&mut self, model: &Model, examples: impl IntoIterator<Item = &'a StoredExample>) {
        let examples: Vec<&StoredExample> = examples.into_iter().collect();
        self.seqs.clear();
        self.seqs.extend(examples.iter().map(|example| example.seq));
        self.shape = model.encoder.shape();
        self.values.clear();
        self.values.reserve(examples.len() * self.shape.elements());
        model.encoder.encode_all(examples.iter().map(|example| &example.row), &mut self.values);
        let labels = examples.iter().map(|example| &example.label);
        match (&model.targets, &mut self.labels) {
            (Targets::Classes { .. }, EncodedLabels::Classes(classes)) => {
                classes.clear();
                classes.extend(labels.map(|label| class_output(&model.targets, label)));
            }
            (Targets::Classes { .. }, other) => {
                *other = EncodedLabels::Classes(labels.map(|label| class_output(&model.targets, label)).collect());
            }
            (Targets::Number { .. }, EncodedLabels::Numbers(numbers)) => {
                numbers.clear();
                numbers.extend(labels.map(number));
            }
            (Targets::Number { .. }, other) => *other = EncodedLabels::Numbers(labels.map(number).collect()),
        }
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

    /// The numbers of the rows `start..end`.
    pub fn rows(&self, start: usize, end: usize) -> &[f32] {
        let size = self.shape.elements();
        &self.values[start * size..end * size]
    }

    /// The rows `start..end` as a batch `[rows, …shape]`.
    pub fn tensor(&self, start: usize, end: usize, device: &Device) -> candle_core::Result<Tensor> {
        Tensor::from_slice(self.rows(start, end), self.shape.batched(end - start), device)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Encoder, Schema, Task, Value};

    fn model(task: serde_json::Value) -> Model {
        let schema: Schema =
            serde_json::from_value(serde_json::json!({"features": [{"name": "x", "kind": "vector", "size": 2}]}))
                .unwrap();
        let task: Task = serde_json::from_value(task).unwrap();
        let (encoder, targets) = (Encoder::new(&schema), Targets::new(&task));
        let network = crate::network::builders::NetworkSpec::Mlp { hidden: vec![], dropout: 0.0 };
        let network = network.build(&encoder.shape(), targets.outputs()).unwrap();
        Model { network, encoder, targets }
    }

    fn example(seq: u64, label: Label) -> StoredExample {
        let row = vec![Value::Vector(vec![seq as f32, 0.5])];
        StoredExample { seq: Seq(seq), id: None, row, label }
    }

    #[test]
    fn rows_and_labels_stay_together() {
        let model = model(serde_json::json!({"kind": "classification", "classes": ["a", "b"]}));
        let examples: Vec<StoredExample> =
            (1..=3).map(|seq| example(seq, Label::Class(["a", "b", "c"][seq as usize - 1].into()))).collect();
        let rows = EncodedRows::encode(&model, &examples);
        assert_eq!(rows.labels, EncodedLabels::Classes(vec![Some(0), Some(1), None]));
        assert_eq!((rows.len(), rows.seqs[2]), (3, Seq(3)));
        let alone = EncodedRows::encode(&model, &examples[1..2]);
        assert_eq!(rows.row(1), &alone.values[..]);
        let tensor = rows.tensor(1, 3, &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), [2, rows.shape.elements()]);
        assert_eq!(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), rows.values[rows.shape.elements()..]);
    }

    #[test]
    fn rows_encoded_into_used_memory_are_those_encoded_afresh() {
        let classes = model(serde_json::json!({"kind": "classification", "classes": ["a", "b"]}));
        let mut regression = model(serde_json::json!({"kind": "regression"}));
        let labelled = |seqs: std::ops::Range<u64>, label: &Label| -> Vec<StoredExample> {
            seqs.map(|seq| example(seq, label.clone())).collect()
        };
        let (many, few) = (labelled(1..9, &Label::Class("b".into())), labelled(9..11, &Label::Class("a".into())));
        let numbers = labelled(1..5, &Label::Number(2.5));
        regression.encoder.observe(numbers.iter().map(|example| &example.row));
        let mut rows = EncodedRows::default();
        for (model, examples) in [(&classes, &many), (&classes, &few), (&regression, &numbers), (&classes, &many)] {
            rows.fill(model, examples);
            assert_eq!(rows, EncodedRows::encode(model, examples));
            let mut alone = Vec::new();
            examples.iter().for_each(|example| model.encoder.encode_into(&example.row, &mut alone));
            assert_eq!(rows.values, alone, "many rows are encoded as each of them is");
        }
        rows.fill(&classes, []);
        assert!(rows.is_empty() && rows.values.is_empty());
    }

    #[test]
    fn regression_keeps_its_units() {
        let model = model(serde_json::json!({"kind": "regression"}));
        let rows = EncodedRows::encode(&model, &[example(1, Label::Number(4_200.5))]);
        assert_eq!(rows.labels, EncodedLabels::Numbers(vec![4_200.5]));
    }
}
