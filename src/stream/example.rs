//! Examples: what is stored of a labelled record.

use serde::{Deserialize, Serialize};

use super::ids::Seq;
use super::row_codec;
use super::timestamp::Timestamp;

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
    /// A text, as it came.
    Text(String),
    /// A point in time.
    Time(Timestamp),
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

/// The same in the form in which it is stored: its row as the bytes of [`row_codec`].
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedExample {
    /// The user's id, unique for ever within the learner.
    pub id: Option<String>,
    /// The label.
    pub label: Label,
    /// The row, encoded.
    pub row: Vec<u8>,
}

impl EncodedExample {
    /// The label as two columns hold it: a class or a number.
    pub fn label_columns(&self) -> (Option<&str>, Option<f64>) {
        match &self.label {
            Label::Class(class) => (Some(class), None),
            Label::Number(number) => (None, Some(*number)),
        }
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let text = |text: &str| text.len();
        let label = match &self.label {
            Label::Class(class) => text(class),
            Label::Number(_) => 0,
        };
        size_of::<Self>() + self.row.len() + label + self.id.as_deref().map_or(0, text)
    }
}

impl From<NewExample> for EncodedExample {
    fn from(example: NewExample) -> Self {
        Self { id: example.id, label: example.label, row: row_codec::encode(&example.row) }
    }
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
