//! What a learner's examples look like.

use serde::{Deserialize, Serialize};

/// The features of a learner, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// At least one, with unique names.
    pub features: Vec<Feature>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name in the `inputs` of an example.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// What a feature holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FeatureKind {
    /// A number; may be missing (absent or null).
    Numeric,
    /// One of a growing set of strings; may be missing.
    Categorical {
        /// At most so many values get a column of their own; the rest share `other`.
        #[serde(default = "default_max_categories")]
        max_categories: usize,
    },
    /// `size` numbers.
    Vector { size: usize },
    /// Pixels from 0 to `max`.
    Image {
        height: usize,
        width: usize,
        #[serde(default = "default_image_channels")]
        channels: usize,
        #[serde(default = "default_image_max")]
        max: f64,
    },
}

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// One of these classes.
    Classification {
        /// The classes from the start, in order of their outputs; at least two unless `open_classes`.
        #[serde(default)]
        classes: Vec<String>,
        /// Whether a label not seen before becomes a new class.
        #[serde(default)]
        open_classes: bool,
    },
    /// A number.
    Regression,
}

fn default_max_categories() -> usize {
    64
}

fn default_image_channels() -> usize {
    1
}

fn default_image_max() -> f64 {
    255.0
}

impl Schema {
    /// What is wrong with the schema: a JSON pointer below the schema and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        unimplemented!("helper C")
    }
}

impl Task {
    /// What is wrong with the task: a JSON pointer below the task and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        unimplemented!("helper C")
    }
}
