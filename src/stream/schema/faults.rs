//! What can be wrong with a schema or a task that reads well: limits, duplicates, names.
//!
//! A learner is created only from a schema and a task without faults; everything behind relies on that.

use std::collections::HashSet;

use super::{
    Feature, FeatureKind, MAX_CATEGORY, MAX_CLASS, MAX_FEATURE_NAME, Schema, Task, TextFeature, TimestampFeature,
};

const MAX_FEATURES: usize = 10_000;
const MAX_COLUMNS: usize = 1_000_000;
const MAX_CATEGORIES: usize = 10_000;
const MAX_CLASSES: usize = 100_000;
const MAX_WORDS: usize = 8;
const MAX_CHARACTERS: usize = 16;
const MAX_TEXT: usize = 1_000_000;

/// No wall clock of this planet is further from UTC than 14 hours.
const MAX_OFFSET_MINUTES: i16 = 14 * 60;

/// A document of a hundred thousand faulty names needs no hundred thousand sentences.
const MAX_FAULTS: usize = 100;

impl Schema {
    /// What is wrong with the schema: a JSON pointer below the schema and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        let fault = |detail: String| vec![("/features".to_owned(), detail)];
        if self.features.is_empty() {
            return fault("there must be at least one feature".into());
        }
        if self.features.len() > MAX_FEATURES {
            return fault(format!("there may be at most {MAX_FEATURES} features"));
        }
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        let mut columns: usize = 0;
        for (index, feature) in self.features.iter().enumerate() {
            let mut add = |key: &str, detail: String| faults.push((format!("/features/{index}{key}"), detail));
            if let Some(detail) = text_fault(&feature.name, "a feature's name", MAX_FEATURE_NAME) {
                add("/name", detail);
            } else if !names.insert(&feature.name) {
                add("/name", "another feature has this name".into());
            }
            for (key, detail) in feature.kind_faults() {
                add(key, detail);
            }
            columns = columns.saturating_add(feature.kind.columns());
        }
        if columns > MAX_COLUMNS {
            faults.push(("/features".into(), format!("the features take more than {MAX_COLUMNS} numbers in all")));
        }
        faults.truncate(MAX_FAULTS);
        faults
    }
}

impl Feature {
    fn kind_faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        match &self.kind {
            FeatureKind::Numeric => {}
            FeatureKind::Categorical { max_categories } => {
                if !(1..=MAX_CATEGORIES).contains(max_categories) {
                    faults.push(("/max_categories", format!("must be from 1 to {MAX_CATEGORIES}")));
                }
            }
            FeatureKind::Vector { size } => {
                if *size == 0 {
                    faults.push(("/size", "must be at least 1".into()));
                }
            }
            FeatureKind::Image { height, width, channels, max } => {
                for (key, size) in [("/height", height), ("/width", width), ("/channels", channels)] {
                    if *size == 0 {
                        faults.push((key, "must be at least 1".into()));
                    }
                }
                if !(*max > 0.0 && *max <= f64::from(f32::MAX)) {
                    faults.push(("/max", "must be a finite number above 0, within the range of 32-bit floats".into()));
                }
            }
            FeatureKind::Text(text) => faults.extend(text.faults()),
            FeatureKind::Timestamp(timestamp) => faults.extend(timestamp.faults()),
        }
        faults
    }
}

impl TextFeature {
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.buckets == 0 {
            faults.push(("/buckets", "must be at least 1".into()));
        }
        let n_grams = [("/words", self.words, MAX_WORDS), ("/characters", self.characters, MAX_CHARACTERS)];
        for (key, lengths, longest) in n_grams {
            let [from, to] = lengths.unwrap_or([1, 1]);
            if !(1 <= from && from <= to && to <= longest) {
                faults.push((key, format!("must be two lengths from 1 to {longest}, the smaller one first")));
            }
        }
        if !(1..=MAX_TEXT).contains(&self.max_chars) {
            faults.push(("/max_chars", format!("must be from 1 to {MAX_TEXT}")));
        }
        faults
    }
}

impl TimestampFeature {
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let parts = &self.parts.0;
        if parts.is_empty() {
            faults.push(("/parts", "there must be at least one part".into()));
        } else if self.parts.in_order().count() != parts.len() {
            faults.push(("/parts", "a part stands there twice".into()));
        }
        if !(-MAX_OFFSET_MINUTES..=MAX_OFFSET_MINUTES).contains(&self.offset_minutes) {
            faults.push(("/offset_minutes", format!("must be from -{MAX_OFFSET_MINUTES} to {MAX_OFFSET_MINUTES}")));
        }
        faults
    }
}

impl Task {
    /// What is wrong with the task: a JSON pointer below the task and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        let Self::Classification { classes, open_classes } = self else { return Vec::new() };
        if classes.len() > MAX_CLASSES {
            return vec![("/classes".into(), format!("there may be at most {MAX_CLASSES} classes"))];
        }
        let mut faults = Vec::new();
        if classes.len() < 2 && !open_classes {
            let detail = "there must be at least two classes, or `open_classes` must be true";
            faults.push(("/classes".into(), detail.into()));
        }
        let mut seen = HashSet::new();
        for (index, class) in classes.iter().enumerate() {
            let pointer = || format!("/classes/{index}");
            if let Some(detail) = class_fault(class) {
                faults.push((pointer(), detail));
            } else if !seen.insert(class) {
                faults.push((pointer(), "the class stands there twice".into()));
            }
        }
        faults.truncate(MAX_FAULTS);
        faults
    }
}

/// What is wrong with a class, of a document, a label or a growth order.
pub fn class_fault(class: &str) -> Option<String> {
    text_fault(class, "a class", MAX_CLASS)
}

/// What is wrong with a category, of a row or a growth order: it may be any text, the empty one too, within a length.
pub fn category_fault(category: &str) -> Option<String> {
    let fits = category.len() <= MAX_CATEGORY || category.chars().count() <= MAX_CATEGORY;
    (!fits).then(|| format!("a category has at most {MAX_CATEGORY} characters"))
}

/// What is wrong with a short text that is stored, shown and used as a key.
pub(in crate::stream) fn text_fault(text: &str, what: &str, longest: usize) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= 4 * longest && text.chars().count() <= longest;
    let plain = !text.chars().any(char::is_control);
    (!fits || !plain).then(|| format!("{what} has 1 to {longest} characters, none of them a control character"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::schema::{TimePart, TimeParts};

    fn numeric(name: &str) -> Feature {
        Feature::new(name, FeatureKind::Numeric)
    }

    fn pointers(faults: Vec<(String, String)>) -> Vec<String> {
        faults.into_iter().map(|(pointer, _)| pointer).collect()
    }

    fn of(features: Vec<Feature>) -> Vec<String> {
        pointers(Schema { features }.faults())
    }

    fn kind(kind: FeatureKind) -> Vec<String> {
        of(vec![Feature::new("a", kind)])
    }

    fn classes(classes: &[&str]) -> Vec<String> {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        pointers(Task::Classification { classes, open_classes: false }.faults())
    }

    #[test]
    fn a_sound_schema_has_no_faults() {
        let image = FeatureKind::Image { height: 28, width: 28, channels: 3, max: 255.0 };
        let features = vec![
            numeric("a/b~c d"),
            Feature::new("ä".repeat(100), image),
            Feature::new("c", FeatureKind::Categorical { max_categories: 10_000 }),
            Feature::new("v", FeatureKind::Vector { size: 997_000 }),
        ];
        assert_eq!(of(features), Vec::<String>::new());
    }

    #[test]
    fn there_are_one_to_ten_thousand_features() {
        assert_eq!(of(vec![]), ["/features"]);
        let many = |count: usize| (0..count).map(|index| numeric(&index.to_string())).collect();
        assert!(of(many(10_000)).is_empty());
        assert_eq!(of(many(10_001)), ["/features"]);
    }

    #[test]
    fn evil_and_repeated_names_are_faults_at_their_place() {
        let long = "x".repeat(101);
        let features = ["a", "", "a", "b\0", "c\n", "\u{85}", &long].map(numeric).to_vec();
        assert_eq!(of(features), [1, 2, 3, 4, 5, 6].map(|index| format!("/features/{index}/name")));
    }

    #[test]
    fn absurd_sizes_are_faults() {
        assert_eq!(kind(FeatureKind::Vector { size: 0 }), ["/features/0/size"]);
        assert_eq!(kind(FeatureKind::Vector { size: 1_000_001 }), ["/features"]);
        let image = |height, width, channels| FeatureKind::Image { height, width, channels, max: 1.0 };
        assert_eq!(kind(image(0, 0, 0)), ["/features/0/height", "/features/0/width", "/features/0/channels"]);
        assert_eq!(kind(image(usize::MAX, usize::MAX, 2)), ["/features"]);
        let both = [1, 2].map(|n| Feature::new(n.to_string(), FeatureKind::Vector { size: usize::MAX }));
        assert_eq!(of(both.to_vec()), ["/features"]);
        for max_categories in [0, 10_001] {
            assert_eq!(kind(FeatureKind::Categorical { max_categories }), ["/features/0/max_categories"]);
        }
    }

    #[test]
    fn n_grams_buckets_and_texts_have_sizes() {
        let text = |text: TextFeature| kind(FeatureKind::Text(text));
        assert!(text(TextFeature { characters: Some([3, 16]), ..TextFeature::default() }).is_empty());
        assert_eq!(text(TextFeature { buckets: 0, ..TextFeature::default() }), ["/features/0/buckets"]);
        assert_eq!(text(TextFeature { buckets: 1_000_001, ..TextFeature::default() }), ["/features"]);
        for lengths in [[0, 1], [2, 1], [1, 9], [usize::MAX, usize::MAX]] {
            let wrong = TextFeature { words: Some(lengths), ..TextFeature::default() };
            assert_eq!(text(wrong), ["/features/0/words"], "{lengths:?}");
        }
        let wrong = TextFeature { characters: Some([3, 17]), ..TextFeature::default() };
        assert_eq!(text(wrong), ["/features/0/characters"]);
        for max_chars in [0, 1_000_001] {
            assert_eq!(text(TextFeature { max_chars, ..TextFeature::default() }), ["/features/0/max_chars"]);
        }
    }

    #[test]
    fn a_time_has_parts_and_a_wall_clock_of_this_planet() {
        let timestamp = |parts: &[TimePart], offset_minutes| {
            kind(FeatureKind::Timestamp(TimestampFeature { parts: TimeParts(parts.to_vec()), offset_minutes }))
        };
        assert!(timestamp(&[TimePart::Trend], -840).is_empty());
        assert_eq!(timestamp(&[], 0), ["/features/0/parts"]);
        assert_eq!(timestamp(&[TimePart::Trend, TimePart::Trend], 0), ["/features/0/parts"]);
        assert_eq!(timestamp(&TimePart::ALL, 841), ["/features/0/offset_minutes"]);
        assert_eq!(timestamp(&TimePart::ALL, i16::MIN), ["/features/0/offset_minutes"]);
    }

    #[test]
    fn the_largest_pixel_is_finite_and_above_zero() {
        for max in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e39] {
            assert_eq!(kind(FeatureKind::Image { height: 1, width: 1, channels: 1, max }), ["/features/0/max"]);
        }
    }

    #[test]
    fn a_closed_task_has_at_least_two_classes() {
        assert_eq!(classes(&[]), ["/classes"]);
        assert_eq!(classes(&["a"]), ["/classes"]);
        assert!(classes(&["a", "b"]).is_empty());
        assert!(Task::Classification { classes: vec![], open_classes: true }.faults().is_empty());
        assert!(Task::Regression.faults().is_empty());
    }

    #[test]
    fn evil_and_repeated_classes_are_faults_at_their_place() {
        assert_eq!(
            classes(&["a", "a", "", "b\u{7f}", &"x".repeat(201)]),
            ["/classes/1", "/classes/2", "/classes/3", "/classes/4"]
        );
    }

    #[test]
    fn there_are_at_most_a_hundred_thousand_classes_and_a_hundred_faults() {
        let many = |count: usize| Task::Classification {
            classes: (0..count).map(|index| index.to_string()).collect(),
            open_classes: false,
        };
        assert!(many(100_000).faults().is_empty());
        assert_eq!(pointers(many(100_001).faults()), ["/classes"]);
        assert_eq!(classes(&[""; 500]).len(), 100);
    }
}
