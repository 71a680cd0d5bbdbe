//! Examples: what is stored of a labelled record.

use serde::{Deserialize, Serialize};

use super::ids::Seq;

/// The values of one row, in the order of the schema's features.
pub type Row = Vec<Value>;

/// The value of one feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent or null.
    Missing,
    /// A finite number within f32's range.
    Number(f64),
    /// A category.
    Category(String),
    /// The numbers of a vector, finite.
    Vector(Vec<f32>),
    /// The pixels of an image, channels first, unscaled.
    Image(Pixels),
}

/// Pixels, channels first (C x H x W).
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Every pixel is a whole number up to 255.
    Bytes(Vec<u8>),
    /// Anything else.
    Floats(Vec<f32>),
}

/// The label of an example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// A class, by its text.
    Class(String),
    /// A regression target.
    Number(f64),
}

/// An example that passed the schema and waits for its place.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExample {
    /// The user's id, unique for ever within the learner.
    pub id: Option<String>,
    /// The inputs.
    pub row: Row,
    /// The label.
    pub label: Label,
}

/// An example in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExample {
    /// Its place.
    pub seq: Seq,
    /// The user's id.
    pub id: Option<String>,
    /// The inputs.
    pub row: Row,
    /// The label.
    pub label: Label,
}

/// What stands at a place of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An example.
    Example(StoredExample),
    /// A tombstone: an example that was deleted. Its values and its label are gone.
    Deleted(Seq),
}

impl Entry {
    /// The place.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Example(example) => example.seq,
            Self::Deleted(seq) => *seq,
        }
    }

    /// The example, if it was not deleted.
    pub fn example(&self) -> Option<&StoredExample> {
        match self {
            Self::Example(example) => Some(example),
            Self::Deleted(_) => None,
        }
    }

    /// The same by value.
    pub fn into_example(self) -> Option<StoredExample> {
        match self {
            Self::Example(example) => Some(example),
            Self::Deleted(_) => None,
        }
    }
}
