//! The encoder: from rows to the numbers that enter a network. Part of every version.
//!
//! | feature | columns |
//! | --- | --- |
//! | numeric | the standardised value (0, the mean, if missing); 1 if missing, else 0 |
//! | categorical | 1 in the column of the category; categories without one, and missing ones, share `other` |
//! | vector | every number standardised (0, the mean, if missing) |
//! | image | every pixel divided by `max`, channels first (0 if missing) |
//! | text | every bucket of hashed n-grams, `text` (0 if missing) |
//! | timestamp | sine and cosine of every part, the standardised trend, `calendar`; 1 if missing, else 0 |
//!
//! Columns stand in order of birth and never move: what a schema starts with comes first, in order of its features (a
//! categorical feature starts with `other` alone), then every category adopted and every feature added gets the next
//! columns at the very end, so that growth only ever appends inputs. A row may have fewer values than the schema, those
//! of the features that were added after it was stored: they are missing. It may have more, of features that only a later
//! encoder knows: they are passed over. Standardised means less the mean, by the standard deviation, clipped at ±10; before
//! anything was seen the value is taken as it is, and a number that never varied is 0. Whatever the row, the numbers
//! are finite and as many as [`Encoder::shape`] says. Used by training and serving.

mod calendar;
mod document;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use self::state::FeatureState;
use super::example::{Row, Value};
use super::moments::Spread;
use super::schema::{Feature, FeatureKind, Schema};
use crate::network::Shape;

/// Statistics, vocabulary and columns of every feature; a value, cloned into each version and checkpoint.
///
/// As a document it reads back to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "document::EncoderDocument", try_from = "document::EncoderDocument")]
pub struct Encoder {
    schema: Schema,
    /// One for every feature of the schema.
    features: Vec<FeatureState>,
    /// Where the columns of every feature begin: those that it has from its first day, next to each other.
    first_columns: Vec<usize>,
    /// The categories with a column, in order of their columns: (feature index, category).
    adopted: Vec<(usize, String)>,
    /// Of every added feature, in order: how many categories had a column before it. The features are the schema's last.
    added: Vec<usize>,
    /// The columns in all.
    width: usize,
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
        let mut encoder = Self {
            schema: Schema { features: Vec::with_capacity(schema.features.len()) },
            features: Vec::with_capacity(schema.features.len()),
            first_columns: Vec::with_capacity(schema.features.len()),
            adopted: Vec::new(),
            added: Vec::new(),
            width: 0,
        };
        schema.features.iter().for_each(|feature| encoder.place(feature));
        encoder
    }

    /// The schema that it encodes.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The shape of an encoded row: an image if the schema is one image, flat otherwise.
    pub fn shape(&self) -> Shape {
        match self.schema.features[..] {
            [ref only] => match only.kind {
                FeatureKind::Image { height, width, channels, .. } => Shape::image(channels, height, width),
                _ => Shape::flat(self.width),
            },
            _ => Shape::flat(self.width),
        }
    }

    /// Takes these rows into the statistics, in order (Welford's update; deterministic).
    pub fn observe<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        for row in rows {
            for (feature, value) in self.features.iter_mut().zip(row) {
                feature.observe(value);
            }
        }
    }

    /// The categories among these rows that would get a column of their own: unseen ones, as far as `max_categories`
    /// allows.
    pub fn new_categories<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> NewCategories {
        let categories = rows.into_iter().flat_map(|row| {
            row.iter().enumerate().filter_map(|(index, value)| match value {
                Value::Category(category) => Some((index, category.as_str())),
                _ => None,
            })
        });
        self.without_a_column(categories)
    }

    /// The same for categories that are named rather than met: those of them that would get a column of their own.
    /// `None` if the schema has no categorical feature of this name.
    pub fn new_categories_of(&self, feature: &str, categories: &[String]) -> Option<NewCategories> {
        let index = self.schema.features.iter().position(|candidate| candidate.name == feature)?;
        let FeatureKind::Categorical { .. } = self.schema.features[index].kind else { return None };
        Some(self.without_a_column(categories.iter().map(|category| (index, category.as_str()))))
    }

    /// Gives each of these categories the next column at the end. The network must get as many inputs: one for every
    /// category that [`Encoder::new_categories`] found. One that has a column already is passed over.
    pub fn adopt(&mut self, categories: &NewCategories) {
        for (index, category) in &categories.values {
            let column = self.width;
            let is_new = self.features.get_mut(*index).is_some_and(|feature| feature.adopt(category, column));
            if is_new {
                self.width += 1;
                self.adopted.push((*index, category.clone()));
            }
        }
    }

    /// Puts features that have seen nothing at the end of the schema and gives them the next columns at the end. The network
    /// must get as many inputs as their kinds take.
    pub fn add(&mut self, features: &[Feature]) {
        for feature in features {
            self.added.push(self.adopted.len());
            self.place(feature);
        }
    }

    /// Writes the encoded row at the end of `into`: `shape().elements()` finite numbers, standardised and clipped at ±10.
    ///
    /// A value that does not fit its feature (rows that passed the schema have none) is encoded as a missing one.
    pub fn encode_into(&self, row: &Row, into: &mut Vec<f32>) {
        self.encode_row(row, |_| None, into);
    }

    /// The same for many rows, one after the other and to the same bits: how far the numbers of vectors lie around their
    /// means is worked out once for all of them.
    pub fn encode_all<'a>(&self, rows: impl IntoIterator<Item = &'a Row>, into: &mut Vec<f32>) {
        let spreads: Vec<Vec<Spread>> = self.features.iter().map(FeatureState::spreads).collect();
        for row in rows {
            self.encode_row(row, |feature| spreads.get(feature).map(Vec::as_slice), into);
        }
    }

    fn encode_row<'a>(&self, row: &Row, spreads: impl Fn(usize) -> Option<&'a [Spread]>, into: &mut Vec<f32>) {
        let start = into.len();
        into.resize(start + self.width, 0.0);
        let columns = &mut into[start..];
        for (index, (feature, &first)) in self.features.iter().zip(&self.first_columns).enumerate() {
            let value = row.get(index).unwrap_or(&Value::Missing);
            if let Some(column) = feature.encode(value, spreads(index), &mut columns[first..]) {
                columns[column] = 1.0;
            }
        }
    }

    /// The next feature of the schema, in the next columns.
    fn place(&mut self, feature: &Feature) {
        self.schema.features.push(feature.clone());
        self.features.push(FeatureState::new(&feature.kind));
        self.first_columns.push(self.width);
        self.width += feature.kind.columns();
    }

    fn without_a_column<'a>(&self, categories: impl Iterator<Item = (usize, &'a str)>) -> NewCategories {
        let features = self.schema.features.iter().zip(&self.features);
        let room = features.map(|(feature, state)| match feature.kind {
            FeatureKind::Categorical { max_categories } => max_categories.saturating_sub(state.categories()),
            _ => 0,
        });
        let mut room: Vec<usize> = room.collect();
        let mut found = HashSet::new();
        let mut values = Vec::new();
        for (index, category) in categories {
            let Some(room) = room.get_mut(index).filter(|room| **room > 0) else { continue };
            if self.features[index].column(category).is_none() && found.insert((index, category)) {
                *room -= 1;
                values.push((index, category.to_owned()));
            }
        }
        NewCategories { values }
    }
}
