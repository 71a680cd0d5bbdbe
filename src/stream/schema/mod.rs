//! What a learner's examples look like: the part of its document under `schema` and `task`.
//!
//! Documents are read strictly: a key that does not belong to the kind is an error, never ignored. What a document
//! *says* is judged by `faults`, which a learner is created only without.

mod document;
mod faults;
mod kinds;

use serde::{Deserialize, Serialize};

pub(in crate::stream) use faults::text_fault;
pub use faults::{category_fault, class_fault};
pub use kinds::{TextFeature, TimePart, TimeParts, TimestampFeature};

/// The longest name of a feature, in characters.
pub const MAX_FEATURE_NAME: usize = 100;
/// The longest class, in characters.
pub const MAX_CLASS: usize = 200;
/// The longest category, in characters.
pub const MAX_CATEGORY: usize = 200;

/// The features of a learner, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// At least one, with unique names.
    pub features: Vec<Feature>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "document::FeatureDocument")]
pub struct Feature {
    /// Its name in the `inputs` of an example.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: FeatureKind,
    /// Whether rows may lack it whatever it holds. Every feature that growth adds is so: rows stored before have no value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What a feature holds. Read as part of a [`Feature`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number; may be missing (absent or null).
    Numeric,
    /// One of a growing set of strings; may be missing.
    Categorical {
        /// At most so many values get a column of their own; the rest share `other`. 64 unless set.
        max_categories: usize,
    },
    /// `size` numbers; if missing, where that is allowed, all of them are as good as their means.
    Vector { size: usize },
    /// Pixels from 0 to `max` (255 unless set), `channels` (1 unless set) planes of `height` x `width`; if missing, where
    /// that is allowed, all of them are 0.
    Image { height: usize, width: usize, channels: usize, max: f64 },
    /// A text, of which n-grams are hashed; if missing, where that is allowed, as good as one without words.
    Text(TextFeature),
    /// A point in time; may be missing.
    Timestamp(TimestampFeature),
}

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "document::TaskDocument")]
pub enum Task {
    /// One of these classes.
    Classification {
        /// The classes from the start, in order of their outputs; at least two unless `open_classes`.
        classes: Vec<String>,
        /// Whether a label not seen before becomes a new class.
        open_classes: bool,
    },
    /// A number.
    Regression,
}

impl Schema {
    /// The schema with these features after its own, in this order: what stood where it stood before stays there. A row
    /// may lack each of them.
    pub fn with(&self, added: &[Feature]) -> Self {
        let added = added.iter().map(|feature| Feature { optional: true, ..feature.clone() });
        Self { features: self.features.iter().cloned().chain(added).collect() }
    }
}

impl Feature {
    /// A feature that a row may lack only if it is numeric, categorical or a timestamp.
    pub fn new(name: impl Into<String>, kind: FeatureKind) -> Self {
        Self { name: name.into(), kind, optional: false }
    }

    /// Whether a row may have no value of it.
    pub fn may_be_missing(&self) -> bool {
        let has_place_for_missing =
            matches!(self.kind, FeatureKind::Numeric | FeatureKind::Categorical { .. } | FeatureKind::Timestamp(_));
        self.optional || has_place_for_missing
    }
}

impl FeatureKind {
    /// How many numbers a value of this feature takes in an encoded row before any category has a column of its own:
    /// value and indicator of a numeric, `other` of a categorical, every number of a vector or image, every bucket of a text,
    /// the parts and the indicator of a timestamp.
    pub fn columns(&self) -> usize {
        match *self {
            Self::Numeric => 2,
            Self::Categorical { .. } => 1,
            Self::Vector { size } => size,
            Self::Image { height, width, channels, .. } => height.saturating_mul(width).saturating_mul(channels),
            Self::Text(ref text) => text.buckets,
            Self::Timestamp(ref timestamp) => timestamp.parts.columns() + 1,
        }
    }
}
