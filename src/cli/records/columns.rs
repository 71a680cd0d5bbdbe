//! From the columns of a CSV file to the features of a schema.

use anyhow::{bail, ensure};
use serde_json::{Map, Number, Value};

/// Where a feature's values stand in a line.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// A number in this column; empty is missing.
    Number(usize),
    /// A category in this column; empty is missing.
    Category(usize),
    /// A text in this column, empty or not.
    Text(usize),
    /// A time in this column, as a text or as seconds since 1970; empty is missing.
    Time(usize),
    /// Numbers in these columns; all of them empty is missing.
    Numbers(Vec<usize>),
}

/// The plan by which a line becomes inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    features: Vec<(String, Source)>,
}

impl Columns {
    /// Finds every feature among the header's columns; `taken` are those of label and id. An optional feature that has no
    /// column is missing in every line.
    ///
    /// A vector or image feature `pixels` stands in the columns `pixels.0`, `pixels.1`, … or, if it is the only feature
    /// and the file has just as many columns left, in those in their order.
    pub fn find(schema: &Value, header: &[String], taken: &[usize]) -> anyhow::Result<Self> {
        let features = schema.get("features").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::with_capacity(features.len());
        for feature in features {
            let name = feature.get("name").and_then(Value::as_str).unwrap_or_default();
            let column = |name: &str| header.iter().position(|column| column == name);
            let source = match feature.get("kind").and_then(Value::as_str) {
                Some("numeric") => column(name).map(Source::Number),
                Some("categorical") => column(name).map(Source::Category),
                Some("text") => column(name).map(Source::Text),
                Some("timestamp") => column(name).map(Source::Time),
                _ => {
                    let size = elements(feature);
                    let named: Option<Vec<usize>> = (0..size).map(|index| column(&format!("{name}.{index}"))).collect();
                    let rest: Vec<usize> = (0..header.len()).filter(|index| !taken.contains(index)).collect();
                    let only = features.len() == 1 && rest.len() == size;
                    named.or(only.then_some(rest)).map(Source::Numbers)
                }
            };
            let optional = feature.get("optional").and_then(Value::as_bool).unwrap_or_default();
            let begun = header.iter().any(|column| column.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
            match source {
                Some(source) => found.push((name.to_owned(), source)),
                None if optional && !begun => {}
                None => bail!("the file has no column for the feature `{name}`; its columns are {}", header.join(", ")),
            }
        }
        ensure!(!found.is_empty(), "the file has no column for any feature of the learner");
        Ok(Self { features: found })
    }

    /// The inputs of one line.
    pub fn inputs(&self, line: &csv::StringRecord) -> anyhow::Result<Map<String, Value>> {
        let mut inputs = Map::with_capacity(self.features.len());
        for (name, source) in &self.features {
            let value = match source {
                Source::Number(column) | Source::Time(column) if line[*column].trim().is_empty() => continue,
                Source::Category(column) if line[*column].is_empty() => continue,
                Source::Number(column) => number(&line[*column], name)?,
                Source::Category(column) | Source::Text(column) => Value::String(line[*column].to_owned()),
                Source::Time(column) => time(line[*column].trim()),
                Source::Numbers(columns) if columns.iter().all(|&column| line[column].trim().is_empty()) => continue,
                Source::Numbers(columns) => {
                    Value::Array(columns.iter().map(|&column| number(&line[column], name)).collect::<Result<_, _>>()?)
                }
            };
            inputs.insert(name.clone(), value);
        }
        Ok(inputs)
    }
}

fn elements(feature: &Value) -> usize {
    let size = |key: &str, otherwise: u64| feature.get(key).and_then(Value::as_u64).unwrap_or(otherwise);
    let elements = match feature.get("kind").and_then(Value::as_str) {
        Some("image") => size("height", 0) * size("width", 0) * size("channels", 1),
        _ => size("size", 0),
    };
    usize::try_from(elements).unwrap_or(usize::MAX)
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
