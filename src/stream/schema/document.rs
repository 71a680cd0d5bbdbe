//! How features and tasks are read: every key belongs to the kind, or the document is refused.
//!
//! Serde ignores unknown keys in a flattened field and in a unit variant, so both are read through a struct that knows
//! every key of every kind. Only the deserializers of `schema` use it.

use serde::Deserialize;

use super::{Feature, FeatureKind, Task, TextFeature, TimeParts, TimestampFeature};

/// A feature with every key that any kind has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureDocument {
    name: String,
    kind: FeatureKindName,
    optional: Option<bool>,
    max_categories: Option<usize>,
    size: Option<usize>,
    height: Option<usize>,
    width: Option<usize>,
    channels: Option<usize>,
    max: Option<f64>,
    buckets: Option<usize>,
    words: Option<[usize; 2]>,
    characters: Option<[usize; 2]>,
    lowercase: Option<bool>,
    max_chars: Option<usize>,
    parts: Option<TimeParts>,
    offset_minutes: Option<i16>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FeatureKindName {
    Numeric,
    Categorical,
    Vector,
    Image,
    Text,
    Timestamp,
}

impl FeatureKindName {
    /// The name, and the keys that may stand beside it.
    fn keys(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Numeric => ("numeric", &[]),
            Self::Categorical => ("categorical", &["max_categories"]),
            Self::Vector => ("vector", &["size"]),
            Self::Image => ("image", &["height", "width", "channels", "max"]),
            Self::Text => ("text", &["buckets", "words", "characters", "lowercase", "max_chars"]),
            Self::Timestamp => ("timestamp", &["parts", "offset_minutes"]),
        }
    }
}

impl TryFrom<FeatureDocument> for Feature {
    type Error = String;

    fn try_from(document: FeatureDocument) -> Result<Self, String> {
        let (kind, allowed) = document.kind.keys();
        let given = [
            ("max_categories", document.max_categories.is_some()),
            ("size", document.size.is_some()),
            ("height", document.height.is_some()),
            ("width", document.width.is_some()),
            ("channels", document.channels.is_some()),
            ("max", document.max.is_some()),
            ("buckets", document.buckets.is_some()),
            ("words", document.words.is_some()),
            ("characters", document.characters.is_some()),
            ("lowercase", document.lowercase.is_some()),
            ("max_chars", document.max_chars.is_some()),
            ("parts", document.parts.is_some()),
            ("offset_minutes", document.offset_minutes.is_some()),
        ];
        if let Some((key, _)) = given.iter().find(|(key, is_given)| *is_given && !allowed.contains(key)) {
            return Err(format!("unknown field `{key}`: a {kind} feature has none of this name"));
        }
        let needed = |value: Option<usize>, key: &str| value.ok_or_else(|| format!("missing field `{key}`"));
        let kind = match document.kind {
            FeatureKindName::Numeric => FeatureKind::Numeric,
            FeatureKindName::Categorical => {
                FeatureKind::Categorical { max_categories: document.max_categories.unwrap_or(64) }
            }
            FeatureKindName::Vector => FeatureKind::Vector { size: needed(document.size, "size")? },
            FeatureKindName::Image => FeatureKind::Image {
                height: needed(document.height, "height")?,
                width: needed(document.width, "width")?,
                channels: document.channels.unwrap_or(1),
                max: document.max.unwrap_or(255.0),
            },
            FeatureKindName::Text => {
                let usual = TextFeature::default();
                FeatureKind::Text(TextFeature {
                    buckets: document.buckets.unwrap_or(usual.buckets),
                    words: document.words.or(if document.characters.is_none() { usual.words } else { None }),
                    characters: document.characters,
                    lowercase: document.lowercase.unwrap_or(usual.lowercase),
                    max_chars: document.max_chars.unwrap_or(usual.max_chars),
                })
            }
            FeatureKindName::Timestamp => FeatureKind::Timestamp(TimestampFeature {
                parts: document.parts.unwrap_or_default(),
                offset_minutes: document.offset_minutes.unwrap_or_default(),
            }),
        };
        Ok(Self { name: document.name, kind, optional: document.optional.unwrap_or_default() })
    }
}

/// A task with every key that any kind has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskDocument {
    kind: TaskKindName,
    classes: Option<Vec<String>>,
    open_classes: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TaskKindName {
    Classification,
    Regression,
}

impl TryFrom<TaskDocument> for Task {
    type Error = String;

    fn try_from(document: TaskDocument) -> Result<Self, String> {
        match (document.kind, document.classes, document.open_classes) {
            (TaskKindName::Classification, classes, open_classes) => Ok(Self::Classification {
                classes: classes.unwrap_or_default(),
                open_classes: open_classes.unwrap_or_default(),
            }),
            (TaskKindName::Regression, None, None) => Ok(Self::Regression),
            (TaskKindName::Regression, Some(_), _) => Err("unknown field `classes`: a regression has none".into()),
            (TaskKindName::Regression, _, Some(_)) => Err("unknown field `open_classes`: a regression has none".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(json: &str) -> Result<Feature, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn task(json: &str) -> Result<Task, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_filled_in() {
        let categorical = feature(r#"{"name":"a","kind":"categorical"}"#).unwrap();
        assert_eq!(categorical.kind, FeatureKind::Categorical { max_categories: 64 });
        let image = feature(r#"{"kind":"image","height":2,"width":3,"name":"a"}"#).unwrap();
        assert_eq!(image.kind, FeatureKind::Image { height: 2, width: 3, channels: 1, max: 255.0 });
        assert!(!image.optional);
        let text = feature(r#"{"name":"a","kind":"text"}"#).unwrap();
        assert_eq!(text.kind, FeatureKind::Text(TextFeature::default()));
        let characters = feature(r#"{"name":"a","kind":"text","characters":[3,5]}"#).unwrap();
        let only = TextFeature { words: None, characters: Some([3, 5]), ..TextFeature::default() };
        assert_eq!(characters.kind, FeatureKind::Text(only), "what is asked for is all there is");
        let timestamp = feature(r#"{"name":"a","kind":"timestamp"}"#).unwrap();
        assert_eq!(timestamp.kind, FeatureKind::Timestamp(TimestampFeature::default()));
        let open = task(r#"{"kind":"classification","open_classes":true}"#).unwrap();
        assert_eq!(open, Task::Classification { classes: vec![], open_classes: true });
    }

    #[test]
    fn unknown_keys_of_a_feature_are_refused_by_name() {
        for kind in ["numeric", "categorical"] {
            let fault = feature(&format!(r#"{{"name":"a","kind":"{kind}","standardize":true}}"#)).unwrap_err();
            assert!(fault.contains("unknown field `standardize`"), "{fault}");
        }
    }

    #[test]
    fn keys_of_another_kind_are_refused_by_name() {
        let fault = feature(r#"{"name":"a","kind":"numeric","size":3}"#).unwrap_err();
        assert!(fault.contains("unknown field `size`: a numeric feature"), "{fault}");
        let fault = feature(r#"{"name":"a","kind":"text","parts":["trend"]}"#).unwrap_err();
        assert!(fault.contains("unknown field `parts`: a text feature"), "{fault}");
        let fault = feature(r#"{"name":"a","kind":"timestamp","words":[1,1]}"#).unwrap_err();
        assert!(fault.contains("unknown field `words`: a timestamp feature"), "{fault}");
        let fault = feature(r#"{"name":"a","kind":"vector","size":3,"max":1}"#).unwrap_err();
        assert!(fault.contains("unknown field `max`: a vector feature"), "{fault}");
        let fault = task(r#"{"kind":"regression","classes":["a","b"]}"#).unwrap_err();
        assert!(fault.contains("unknown field `classes`"), "{fault}");
        let fault = task(r#"{"kind":"regression","open_classes":false}"#).unwrap_err();
        assert!(fault.contains("unknown field `open_classes`"), "{fault}");
        let fault = task(r#"{"kind":"classification","clases":["a","b"]}"#).unwrap_err();
        assert!(fault.contains("unknown field `clases`"), "{fault}");
    }

    #[test]
    fn missing_keys_are_named() {
        assert!(feature(r#"{"name":"a","kind":"vector"}"#).unwrap_err().contains("missing field `size`"));
        assert!(feature(r#"{"name":"a","kind":"image","width":3}"#).unwrap_err().contains("missing field `height`"));
        assert!(feature(r#"{"name":"a"}"#).unwrap_err().contains("missing field `kind`"));
    }

    #[test]
    fn what_is_written_reads_back_from_json_and_toml() {
        let schema: super::super::Schema = serde_json::from_str(
            r#"{"features":[{"name":"n","kind":"numeric"},{"name":"c","kind":"categorical","max_categories":3},
                {"name":"v","kind":"vector","size":2,"optional":true},{"name":"i","kind":"image","height":8,"width":8,"max":16},
                {"name":"t","kind":"text","buckets":64,"words":[1,3],"characters":[2,4],"lowercase":false,"max_chars":99},
                {"name":"d","kind":"timestamp","parts":["trend","time_of_day"],"offset_minutes":-90}]}"#,
        )
        .unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Schema>(&json).unwrap(), schema);
        let toml = toml::to_string(&schema).unwrap();
        assert_eq!(toml::from_str::<super::super::Schema>(&toml).unwrap(), schema);
        let tasks = [Task::Regression, Task::Classification { classes: vec!["a".into()], open_classes: true }];
        for task in tasks {
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<Task>(&json).unwrap(), task);
        }
    }
}
