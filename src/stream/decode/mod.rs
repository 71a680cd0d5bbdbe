//! From bodies to rows: one file for every body format, all against the learner's schema.
//!
//! A body is read in one pass, and everything that is wrong with it is said at once. Faults point at values by JSON
//! pointer and never quote them. No body makes it panic. Called by the HTTP edge, off the async runtime when large.

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

use serde::Serialize;

use super::example::{NewExample, Row};
use super::schema::{Schema, Task};

/// One fault of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// A JSON pointer into the body, for example `/examples/3/inputs/pixels`; NDJSON line 7 is `/6`.
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
}

impl DecodeError {
    /// Whether a row has a feature that the schema does not have: under a newer schema it may be sound.
    pub fn names_an_unknown_feature(&self) -> bool {
        match self {
            Self::Invalid(faults) => faults.iter().any(|fault| fault.detail == row::UNKNOWN_FEATURE),
            Self::Malformed(_) | Self::TooManyRows { .. } => false,
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
    /// Most rows in one body.
    pub max_rows: usize,
}

/// The decoded body of `POST …/predict`.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictBody {
    /// The rows, at least one.
    pub rows: Vec<Row>,
    /// `version` as it stands in the body: a number or an alias.
    pub version: Option<serde_json::Value>,
}

/// The body `{"examples":[{"inputs":{…},"label":…,"id"?}]}`.
pub fn examples_json(body: &[u8], expected: Expected<'_>) -> Result<Vec<NewExample>, DecodeError> {
    json::examples(body, expected)
}

/// One example a line.
pub fn examples_ndjson(body: &[u8], expected: Expected<'_>) -> Result<Vec<NewExample>, DecodeError> {
    ndjson::examples(body, expected)
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
