//! The same rows as bodies of every format.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, Float64Builder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use perennial::stream::decode::{Format, Table, inputs_to_json};
use perennial::stream::{FeatureKind, Label, NewExample, Pixels, Value};
use serde_json::json;

use crate::rows::DataSet;

/// A format that is measured.
#[derive(Clone, Copy)]
pub enum Body {
    Json,
    Ndjson,
    Arrow,
}

impl Body {
    pub const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Arrow];

    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Ndjson => "NDJSON",
            Self::Arrow => "Arrow",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// All rows, so many in each body.
    pub fn bodies(self, data: &DataSet, rows: usize) -> Vec<Bytes> {
        data.examples.chunks_exact(rows).map(|examples| self.of(data, examples).into()).collect()
    }

    fn of(self, data: &DataSet, examples: &[NewExample]) -> Vec<u8> {
        let document = |example: &NewExample| json!({"inputs": inputs_to_json(&data.schema, &example.row), "label": example.label});
        match self {
            Self::Json => {
                json!({"examples": examples.iter().map(document).collect::<Vec<_>>()}).to_string().into_bytes()
            }
            Self::Ndjson => {
                examples.iter().map(|example| format!("{}\n", document(example))).collect::<String>().into_bytes()
            }
            Self::Arrow => arrow(data, examples),
        }
    }

    pub fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Ndjson => Format::Ndjson,
            Self::Arrow => Format::Arrow(Table::default()),
        }
    }
}

fn arrow(data: &DataSet, examples: &[NewExample]) -> Vec<u8> {
    let column = |index: usize| -> ArrayRef {
        let values = examples.iter().map(|example| &example.row[index]);
        match data.schema.features[index].kind {
            FeatureKind::Numeric => {
                let mut numbers = Float64Builder::new();
                values.for_each(|value| match value {
                    Value::Number(number) => numbers.append_value(*number),
                    _ => numbers.append_null(),
                });
                Arc::new(numbers.finish())
            }
            FeatureKind::Image { .. } => {
                let mut images = FixedSizeBinaryBuilder::new(28 * 28);
                values.for_each(|value| match value {
                    Value::Image(Pixels::Bytes(pixels)) => images.append_value(pixels).expect("as many bytes"),
                    _ => images.append_null(),
                });
                Arc::new(images.finish())
            }
            _ => {
                let mut texts = StringDictionaryBuilder::<Int32Type>::new();
                values.for_each(|value| match value {
                    Value::Category(text) => texts.append_value(text),
                    _ => texts.append_null(),
                });
                Arc::new(texts.finish())
            }
        }
    };
    let label = |example: &NewExample| match &example.label {
        Label::Class(class) => class.clone(),
        Label::Number(number) => number.to_string(),
    };
    let labels = StringArray::from(examples.iter().map(label).collect::<Vec<_>>());
    let features = data.schema.features.iter().enumerate();
    let mut columns: Vec<(&str, ArrayRef, bool)> =
        features.map(|(index, feature)| (feature.name.as_str(), column(index), true)).collect();
    columns.push(("label", Arc::new(labels), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns of the same length");
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("memory can be written");
    writer.write(&batch).expect("memory can be written");
    writer.into_inner().expect("memory can be written")
}
