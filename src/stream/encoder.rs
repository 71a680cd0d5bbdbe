//! The encoder: from rows to the numbers that enter a network. Part of every version.
//!
//! Columns are never re-sorted: what a schema starts with comes first, every category adopted later gets the next
//! column at the end, so that growth only ever appends inputs.

use serde::{Deserialize, Serialize};

use crate::network::Shape;

use super::example::Row;
use super::schema::Schema;

/// Statistics and vocabulary of every feature; a value, cloned into each version and checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    schema: Schema,
    // helper C: per-feature state (Welford statistics per number, categories with their column), total width.
}

/// Categories that rows bring and the encoder does not have: by feature index, in order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NewCategories {
    /// (feature index, category).
    pub values: Vec<(usize, String)>,
}

impl Encoder {
    /// The encoder of a schema that has seen nothing.
    pub fn new(schema: &Schema) -> Self {
        let _ = schema;
        unimplemented!("helper C")
    }

    /// The shape of an encoded row: an image if the schema is one image, flat otherwise.
    pub fn shape(&self) -> Shape {
        unimplemented!("helper C")
    }

    /// Takes these rows into the statistics, in order (Welford's update; deterministic).
    pub fn observe<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        let _ = rows.into_iter().count();
        unimplemented!("helper C")
    }

    /// The categories among these rows that would get a column of their own: unseen ones, as far as `max_categories`
    /// allows.
    pub fn new_categories<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> NewCategories {
        let _ = rows.into_iter().count();
        unimplemented!("helper C")
    }

    /// Gives each of these categories the next column at the end. The network must get as many inputs.
    pub fn adopt(&mut self, categories: &NewCategories) {
        let _ = categories;
        unimplemented!("helper C")
    }

    /// Writes the encoded row at the end of `into`: `shape().elements()` finite numbers, standardised and clipped at ±10.
    pub fn encode_into(&self, row: &Row, into: &mut Vec<f32>) {
        let _ = (row, into);
        unimplemented!("helper C")
    }
}
