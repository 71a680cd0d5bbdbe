//! The ops, one file each, and the table that reads them back from documents.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::op::Op;

/// Reads an op back from its kind and hyperparameters; says what is wrong with one that cannot be.
pub fn from_document(kind: &str, hyperparameters: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
    let _ = hyperparameters;
    Err(format!("there is no op `{kind}`"))
}
