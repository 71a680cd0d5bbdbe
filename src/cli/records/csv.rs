//! CSV with a header line.

use std::io::BufRead;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use super::columns::Columns;
use super::{NeedsLabel, Reading, Record, Records};
use crate::stream::decode::likely_delimiter;

/// The records of a CSV file.
pub fn records(mut input: Box<dyn BufRead + Send>, reading: &Reading, schema: &Value) -> anyhow::Result<Records> {
    let delimiter = match reading.delimiter {
        Some(delimiter) => u8::try_from(delimiter).ok().context("the delimiter must be one ASCII character")?,
        None => likely_delimiter(input.fill_buf()?),
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input);
    let header: Vec<String> = reader.headers()?.iter().map(|name| name.trim().to_owned()).collect();
    let column = |name: &str| {
        let found = header.iter().position(|column| column == name);
        found.with_context(|| format!("the file has no column `{name}`; its columns are {}", header.join(", ")))
    };
    let label = match (&reading.label, reading.needs_label) {
        (Some(name), _) => Some(column(name)?),
        (None, NeedsLabel::Yes) => {
            Some(column("label").map_err(|error| error.context("say which column is the label with --label"))?)
        }
        (None, NeedsLabel::No) => None,
    };
    let id = reading.id.as_deref().map(column).transpose()?;
    let taken: Vec<usize> = label.into_iter().chain(id).collect();
    let columns = Columns::find(schema, &header, &taken)?;
    Ok(Box::new(reader.into_records().zip(1u64..).map(move |(line, number)| {
        let line = line.map_err(|error| anyhow!("record {number}: {error}"))?;
        let text = |column: usize| -> anyhow::Result<String> {
            match line.get(column) {
                Some(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                _ => bail!("record {number}: the column `{}` is empty", header[column]),
            }
        };
        Ok(Record {
            number,
            inputs: columns.inputs(&line).with_context(|| format!("record {number}"))?,
            label: label.map(text).transpose()?.map(Value::String),
            id: id.map(text).transpose()?,
        })
    })))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    fn read(text: &str, reading: &Reading) -> anyhow::Result<Vec<Record>> {
        let schema = json!({"features": [{"name": "a", "kind": "numeric"}, {"name": "b", "kind": "categorical"}]});
        records(Box::new(Cursor::new(text.as_bytes().to_vec())), reading, &schema)?.collect()
    }

    #[test]
    fn a_header_names_the_columns_and_the_delimiter_is_found() {
        let reading = Reading { label: Some("y".into()), id: Some("key".into()), ..Reading::default() };
        let rows = read("key;a;b;y\nk1;1.5;red;yes\nk2;;blue;no\n", &reading).expect("read");
        assert_eq!(rows[0].inputs, *json!({"a": 1.5, "b": "red"}).as_object().expect("an object"));
        assert_eq!((rows[0].label.clone(), rows[0].id.as_deref()), (Some(json!("yes")), Some("k1")));
        assert_eq!((rows[1].number, rows[1].inputs.len()), (2, 1));
    }

    #[test]
    fn a_bad_line_is_named_by_its_record() {
        let reading = Reading { label: Some("y".into()), ..Reading::default() };
        let error = read("a,b,y\n1,red,yes\nx,red,no\n", &reading).expect_err("refused");
        assert!(format!("{error:#}").starts_with("record 2: the feature `a`"), "{error:#}");
        let error = read("a,b,y\n1,red\n", &reading).expect_err("refused");
        assert!(format!("{error:#}").starts_with("record 1: "), "{error:#}");
    }

    #[test]
    fn a_missing_label_column_says_what_to_do() {
        let error = read("a,b\n1,red\n", &Reading::default()).expect_err("refused");
        assert!(format!("{error:#}").contains("--label"), "{error:#}");
        let reading = Reading { needs_label: NeedsLabel::No, ..Reading::default() };
        assert_eq!(read("a,b\n1,red\n", &reading).expect("read")[0].label, None);
    }
}
