//! Targets: from labels to what a loss takes, and from outputs to answers. Part of every version.

use serde::{Deserialize, Serialize};

use super::example::Label;
use super::schema::Task;

/// The classes in order of their outputs, or the statistics of regression targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Targets {
    /// Class i is output i; never re-sorted, new ones come last.
    Classes { classes: Vec<String> },
    /// Running mean and sum of squared deviations of the targets seen (Welford).
    Number { count: u64, mean: f64, m2: f64 },
}

impl Targets {
    /// The targets of a task that has seen nothing. An open task without classes starts with none.
    pub fn new(task: &Task) -> Self {
        let _ = task;
        unimplemented!("helper C")
    }

    /// How many outputs the network has: classes (at least 1), or 1.
    pub fn outputs(&self) -> usize {
        unimplemented!("helper C")
    }

    /// The output of a class.
    pub fn class_index(&self, class: &str) -> Option<usize> {
        let _ = class;
        unimplemented!("helper C")
    }

    /// The labels among these that are new classes, in order of first appearance.
    pub fn new_classes<'a>(&self, labels: impl IntoIterator<Item = &'a Label>) -> Vec<String> {
        let _ = labels.into_iter().count();
        unimplemented!("helper C")
    }

    /// The standard deviation by which outputs are scaled: 1 for classes and before two different targets were seen.
    pub fn scale(&self) -> f64 {
        unimplemented!("helper C")
    }

    /// The mean that is added to scaled outputs: 0 for classes.
    pub fn shift(&self) -> f64 {
        unimplemented!("helper C")
    }

    /// Takes regression targets into the statistics, in order; nothing for classes.
    pub fn observe<'a>(&mut self, labels: impl IntoIterator<Item = &'a Label>) {
        let _ = labels.into_iter().count();
        unimplemented!("helper C")
    }
}
