//! Targets: from labels to what a loss takes, and from outputs to answers. Part of every version.
//!
//! As a document they read back to the last bit. Used by training and serving.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::example::Label;
use super::moments::{Spread, spread, welford};
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
        match task {
            Task::Classification { classes, .. } => Self::Classes { classes: classes.clone() },
            Task::Regression => Self::Number { count: 0, mean: 0.0, m2: 0.0 },
        }
    }

    /// How many outputs the network has: classes (at least 1), or 1.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes { classes } => classes.len().max(1),
            Self::Number { .. } => 1,
        }
    }

    /// The output of a class.
    pub fn class_index(&self, class: &str) -> Option<usize> {
        match self {
            Self::Classes { classes } => classes.iter().position(|known| known == class),
            Self::Number { .. } => None,
        }
    }

    /// The labels among these that are new classes, in order of first appearance.
    pub fn new_classes<'a>(&self, labels: impl IntoIterator<Item = &'a Label>) -> Vec<String> {
        let Self::Classes { classes } = self else { return Vec::new() };
        let mut known: HashSet<&str> = classes.iter().map(String::as_str).collect();
        let mut new = Vec::new();
        for label in labels {
            if let Label::Class(class) = label
                && known.insert(class)
            {
                new.push(class.clone());
            }
        }
        new
    }

    /// Gives each of these classes the next output at the end; one that has an output is passed over, and so is
    /// everything for a regression.
    pub fn adopt(&mut self, new: &[String]) {
        for class in new {
            if self.class_index(class).is_none()
                && let Self::Classes { classes } = self
            {
                classes.push(class.clone());
            }
        }
    }

    /// The standard deviation by which outputs are scaled: 1 for classes and before two different targets were seen.
    pub fn scale(&self) -> f64 {
        match *self {
            Self::Classes { .. } => 1.0,
            Self::Number { count, mean, m2 } => match spread(count, mean, m2) {
                Spread::Deviation(deviation) => deviation,
                Spread::Constant | Spread::Unknown => 1.0,
            },
        }
    }

    /// The mean that is added to scaled outputs: 0 for classes.
    pub fn shift(&self) -> f64 {
        match *self {
            Self::Classes { .. } => 0.0,
            Self::Number { mean, .. } => mean,
        }
    }

    /// Takes regression targets into the statistics, in order; nothing for classes.
    pub fn observe<'a>(&mut self, labels: impl IntoIterator<Item = &'a Label>) {
        let Self::Number { count, mean, m2 } = self else { return };
        for label in labels {
            if let Label::Number(number) = label {
                *count += 1;
                welford(*count, *number, mean, m2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn classes(classes: &[&str]) -> Targets {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Targets::new(&Task::Classification { classes, open_classes: true })
    }

    fn class(text: &str) -> Label {
        Label::Class(text.into())
    }

    #[test]
    fn class_i_is_output_i_and_new_classes_come_last() {
        let mut targets = classes(&["b", "a"]);
        assert_eq!(targets.class_index("a"), Some(1));
        let new = targets.new_classes(&[class("d"), class("a"), class("c"), class("d")]);
        assert_eq!(new, ["d", "c"]);
        targets.adopt(&new);
        targets.adopt(&new);
        assert_eq!(targets, classes(&["b", "a", "d", "c"]));
        assert_eq!(targets.outputs(), 4);
        assert!(targets.new_classes(&[class("c"), Label::Number(1.0)]).is_empty());
    }

    #[test]
    fn a_network_has_an_output_before_the_first_class() {
        assert_eq!(classes(&[]).outputs(), 1);
        assert_eq!(classes(&[]).class_index("a"), None);
        assert_eq!(Targets::new(&Task::Regression).outputs(), 1);
    }

    #[test]
    fn classes_are_neither_scaled_nor_shifted() {
        let mut targets = classes(&["a", "b"]);
        targets.observe(&[class("a"), Label::Number(9.0)]);
        assert_eq!(targets, classes(&["a", "b"]));
        assert_eq!((targets.scale(), targets.shift()), (1.0, 0.0));
    }

    #[test]
    fn a_regression_is_scaled_once_two_different_targets_were_seen() {
        let mut targets = Targets::new(&Task::Regression);
        assert_eq!((targets.scale(), targets.shift()), (1.0, 0.0));
        targets.observe(&[Label::Number(2.0), Label::Number(2.0), class("a")]);
        assert_eq!((targets.scale(), targets.shift()), (1.0, 2.0));
        targets.observe(&[Label::Number(6.0), Label::Number(6.0)]);
        assert_eq!((targets.scale(), targets.shift()), (2.0, 4.0));
        assert!(targets.new_classes(&[class("a")]).is_empty());
        targets.adopt(&["a".to_owned()]);
        assert_eq!(targets.outputs(), 1);
    }

    proptest! {
        #[test]
        fn statistics_of_targets_read_back_to_the_last_bit(numbers in prop::collection::vec(-1e38f64..1e38, 0..20)) {
            let mut targets = Targets::new(&Task::Regression);
            let labels: Vec<Label> = numbers.into_iter().map(Label::Number).collect();
            targets.observe(&labels);
            let text = serde_json::to_string(&targets).unwrap();
            prop_assert_eq!(serde_json::from_str::<Targets>(&text).unwrap(), targets);
        }
    }
}
