//! From bodies to rows: one file for every body format, all behind [`RowDecoder`] and against the learner's schema.
//!
//! A decoder takes a body piece by piece and gives its rows as they become whole, so that it never holds more than a piece and
//! what is unfinished. Everything that is wrong is said at once, row by row. Faults point at values by JSON pointer and
//! never quote them. No body makes it panic. Called by the HTTP edge, off the async runtime when large.

mod arrow;
mod columns;
mod csv;
mod example;
mod image;
mod json;
mod label;
mod ndjson;
mod place;
mod predict;
mod read;
mod row;
mod show;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::example::{NewExample, Row};
use super::schema::{Schema, Task};

pub use columns::{ColumnFault, Columns, Layout, Source, likely_delimiter};

/// One fault of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A JSON pointer into the body, for example `/examples/3/inputs/pixels`; in the other formats rows count from 0 (NDJSON
    /// line 7 is `/6`, the first record after a CSV file's header is `/0`), and `/columns/age` is a whole column.
    pub pointer: String,
    /// What is wrong, without quoting the value.
    pub detail: String,
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// It is no JSON (of this depth); the place is in the fault. A 400.
    Malformed(Fault),
    /// It is JSON, but not what the schema asks for; the first hundred faults. A 422.
    Invalid(Vec<Fault>),
    /// More rows than a request may have. A 413.
    TooManyRows { limit: usize },
    /// A document, line, record or batch that is longer than any may be. A 413.
    TooLong { limit: usize },
}

impl DecodeError {
    /// Whether a row has a feature that the schema does not have: under a newer schema it may be sound.
    pub fn names_an_unknown_feature(&self) -> bool {
        match self {
            Self::Invalid(faults) => faults.iter().any(|fault| fault.detail == row::UNKNOWN_FEATURE),
            Self::Malformed(_) | Self::TooManyRows { .. } | Self::TooLong { .. } => false,
        }
    }
}

/// What a decoder needs to know of the learner and of the limits.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The features.
    pub schema: &'a Schema,
    /// The labels.
    pub task: &'a Task,
    /// Most rows in a body that is one JSON document.
    pub max_rows: usize,
}

/// Whether a schema is known to be the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaAge {
    /// It is the one in memory: the store may have one with more features.
    Remembered,
    /// The store was asked: what it does not have does not exist.
    Newest,
}

/// Where a decoder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has decoded all that it can: feed it, or end it; then the body is decoded.
    Hungry,
    /// The next row has a feature that the remembered schema does not have. Nothing of it was taken: decode again, by the
    /// newest schema.
    UnknownFeature,
    /// The sink takes no more.
    Stopped,
}

/// Takes what a decoder finds.
pub trait RowSink {
    /// Takes a row, or what is wrong with it; rows come in order, `row` counts from 0 and may skip blank lines.
    fn take(&mut self, row: u64, found: Result<NewExample, DecodeError>) -> ControlFlow<()>;
}

/// A body that arrives in pieces, on its way to rows.
pub trait RowDecoder: Send {
    /// Takes the next piece. The one before must have been decoded.
    fn feed(&mut self, piece: Bytes);

    /// There is no further piece.
    fn end(&mut self);

    /// Gives every row that is whole.
    ///
    /// # Errors
    /// What is wrong with the body beyond its rows; it is over then. A fault of a row goes to the sink.
    fn decode(
        &mut self,
        expected: Expected<'_>,
        age: SchemaAge,
        rows: &mut dyn RowSink,
    ) -> Result<Progress, DecodeError>;

    /// How many bytes wait in it.
    fn held(&self) -> usize;
}

/// The body formats of examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `{"examples":[{"inputs":{…},"label":…,"id"?}]}`, decoded when it is whole.
    Json,
    /// One example a line.
    Ndjson,
    /// A header, then one example a record.
    Csv(Table),
    /// An Arrow IPC stream, one example a row.
    Arrow(Table),
}

/// How the columns of a table are called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The column of the label; `label` unless told.
    pub label: Option<String>,
    /// The column of the id; `id`, where there is one, unless told.
    pub id: Option<String>,
    /// CSV: what stands between values; found in the header unless told.
    pub delimiter: Option<u8>,
}

impl Format {
    /// A decoder for one body. `longest`: the most bytes of a JSON document, a line, a record, or an unpacked Arrow message.
    pub fn decoder(self, longest: usize) -> Box<dyn RowDecoder> {
        match self {
            Self::Json => Box::new(json::Json::new(longest)),
            Self::Ndjson => Box::new(ndjson::Ndjson::new(longest)),
            Self::Csv(table) => Box::new(csv::Csv::new(table, longest)),
            Self::Arrow(table) => Box::new(arrow::Arrow::new(table, longest)),
        }
    }
}

/// The decoded body of `POST …/predict`.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictBody {
    /// The rows, at least one.
    pub rows: Vec<Row>,
    /// `version` as it stands in the body: a number or an alias.
    pub version: Option<serde_json::Value>,
}

/// The body `{"inputs":[{…}],"version"?}`.
pub fn predict_json(body: &[u8], expected: Expected<'_>) -> Result<PredictBody, DecodeError> {
    predict::body(body, expected)
}

/// A stored row as the JSON object that came in as `inputs` (images as nested channel-last or flat arrays, as they
/// are accepted), for reading the stream back.
pub fn inputs_to_json(schema: &Schema, row: &Row) -> serde_json::Value {
    show::inputs(schema, row)
}
