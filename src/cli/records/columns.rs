//! The values of a line of a CSV file, as inputs by feature. Where they stand is the server's rule too ([`decode::Columns`]).

use anyhow::{Context, bail};
use serde_json::{Map, Number, Value};

use crate::stream::decode::{self, Layout, Source};
use crate::stream::{FeatureKind, Schema};

/// The plan by which a line becomes inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    features: Vec<(String, Source, Cell)>,
}

/// What a single column of a feature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// A number; empty is missing.
    Number,
    /// A category; empty is missing.
    Category,
    /// A text, empty or not.
    Text,
    /// A time, as a text or as seconds since 1970; empty is missing.
    Time,
}

impl Cell {
    fn of(kind: &FeatureKind) -> Self {
        match kind {
            FeatureKind::Categorical { .. } => Self::Category,
            FeatureKind::Text(_) => Self::Text,
            FeatureKind::Timestamp(_) => Self::Time,
            FeatureKind::Numeric | FeatureKind::Vector { .. } | FeatureKind::Image { .. } => Self::Number,
        }
    }
}

impl Columns {
    /// Finds every feature among the header's columns; `taken` are those of label and id. Columns of no feature are passed over.
    pub fn find(schema: &Value, header: &[String], taken: &[usize]) -> anyhow::Result<Self> {
        let schema: Schema = serde_json::from_value(schema.clone()).context("the learner's schema cannot be read")?;
        let found = match decode::Columns::find(&schema, header, taken, Layout::Cells) {
            Ok(found) => found,
            Err(fault) if fault.column.is_empty() => bail!("{}; its columns are {}", fault.detail, header.join(", ")),
            Err(fault) => {
                bail!("the feature `{}`: {}; its columns are {}", fault.column, fault.detail, header.join(", "))
            }
        };
        let features = schema.features.into_iter().zip(found.sources);
        Ok(Self {
            features: features.map(|(feature, source)| (feature.name, source, Cell::of(&feature.kind))).collect(),
        })
    }

    /// The inputs of one line.
    pub fn inputs(&self, line: &csv::StringRecord) -> anyhow::Result<Map<String, Value>> {
        let mut inputs = Map::with_capacity(self.features.len());
        for (name, source, cell) in &self.features {
            let value = match source {
                Source::Absent => continue,
                Source::Cell(column) => match cell {
                    Cell::Number | Cell::Time if line[*column].trim().is_empty() => continue,
                    Cell::Category if line[*column].is_empty() => continue,
                    Cell::Number => number(&line[*column], name)?,
                    Cell::Time => time(line[*column].trim()),
                    Cell::Category | Cell::Text => Value::String(line[*column].to_owned()),
                },
                Source::Cells(columns) if columns.iter().all(|&column| line[column].trim().is_empty()) => continue,
                Source::Cells(columns) => {
                    Value::Array(columns.iter().map(|&column| number(&line[column], name)).collect::<Result<_, _>>()?)
                }
            };
            inputs.insert(name.clone(), value);
        }
        Ok(inputs)
    }
}

/// Seconds if it is a number; any other text is for the server to read.
fn time(text: &str) -> Value {
    number(text, "").unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn number(text: &str, feature: &str) -> anyhow::Result<Value> {
    let parsed = text.trim().parse::<f64>().ok();
    match parsed.and_then(Number::from_f64) {
        Some(_) if text.trim().parse::<i64>().is_ok() => Ok(text.trim().parse::<i64>().unwrap_or_default().into()),
        Some(number) => Ok(Value::Number(number)),
        None => bail!("the feature `{feature}` needs a finite number"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn features_are_found_by_name_and_empty_values_are_missing() {
        let schema = json!({"features": [
            {"name": "age", "kind": "numeric"}, {"name": "city", "kind": "categorical"},
            {"name": "v", "kind": "vector", "size": 2}]});
        let columns = Columns::find(&schema, &header(&["v.1", "city", "v.0", "age", "y"]), &[4]).expect("found");
        let inputs = columns.inputs(&csv::StringRecord::from(vec!["2", "", "1.5", "7", "no"])).expect("read");
        assert_eq!(Value::Object(inputs), json!({"age": 7, "v": [1.5, 2]}));
    }

    #[test]
    fn texts_stay_as_they_are_and_times_are_numbers_or_texts() {
        let schema = json!({"features": [{"name": "review", "kind": "text"}, {"name": "at", "kind": "timestamp"}]});
        let columns = Columns::find(&schema, &header(&["at", "review"]), &[]).expect("found");
        for (line, expected) in [
            (["1.5", " a, b "], json!({"at": 1.5, "review": " a, b "})),
            ([" 2025-03-01 ", "7"], json!({"at": "2025-03-01", "review": "7"})),
            (["", ""], json!({"review": ""})),
        ] {
            let inputs = columns.inputs(&csv::StringRecord::from(line.to_vec())).expect("read");
            assert_eq!(Value::Object(inputs), expected);
        }
    }

    #[test]
    fn a_file_from_before_a_growth_has_no_columns_for_what_was_added() {
        let schema = json!({"features": [
            {"name": "age", "kind": "numeric"}, {"name": "humidity", "kind": "numeric", "optional": true},
            {"name": "v", "kind": "vector", "size": 2, "optional": true}]});
        let columns = Columns::find(&schema, &header(&["age", "y"]), &[1]).expect("found");
        let inputs = columns.inputs(&csv::StringRecord::from(vec!["7", "no"])).expect("read");
        assert_eq!(Value::Object(inputs), json!({"age": 7}));
        let columns = Columns::find(&schema, &header(&["age", "v.0", "v.1"]), &[]).expect("found");
        let inputs = columns.inputs(&csv::StringRecord::from(vec!["7", "", ""])).expect("read");
        assert_eq!(Value::Object(inputs), json!({"age": 7}));
        assert!(Columns::find(&schema, &header(&["age", "v.0"]), &[]).is_err(), "half a vector is none");
        assert!(Columns::find(&schema, &header(&["humidity"]), &[]).is_err(), "what it began with it needs");
    }

    #[test]
    fn one_vector_takes_the_columns_that_are_left_in_order() {
        let schema = json!({"features": [{"name": "x", "kind": "vector", "size": 2}]});
        let columns = Columns::find(&schema, &header(&["label", "a", "b"]), &[0]).expect("found");
        let inputs = columns.inputs(&csv::StringRecord::from(vec!["q", "3", "4"])).expect("read");
        assert_eq!(Value::Object(inputs), json!({"x": [3, 4]}));
        assert!(Columns::find(&schema, &header(&["label", "a", "b", "c"]), &[0]).is_err());
    }

    #[test]
    fn what_is_no_finite_number_is_refused_by_the_feature_name() {
        let schema = json!({"features": [{"name": "age", "kind": "numeric"}]});
        let columns = Columns::find(&schema, &header(&["age"]), &[]).expect("found");
        for text in ["old", "NaN", "inf"] {
            let error = columns.inputs(&csv::StringRecord::from(vec![text])).expect_err("refused").to_string();
            assert!(error.contains("`age`") && !error.contains(text), "{error}");
        }
    }
}
