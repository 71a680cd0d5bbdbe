//! NDJSON: `{"inputs": {…}, "label": …, "id"?}` on every line, or the features beside the label in one flat object.

use std::io::BufRead;

use anyhow::{anyhow, bail};
use serde_json::{Map, Value};

use super::{NeedsLabel, Reading, Record, Records};

/// The records of an NDJSON file; empty lines are skipped.
pub fn records(input: Box<dyn BufRead + Send>, reading: &Reading) -> Records {
    let label = reading.label.clone().unwrap_or_else(|| "label".into());
    let id = reading.id.clone().unwrap_or_else(|| "id".into());
    let needs_label = reading.needs_label;
    let lines = input.lines().zip(1u64..);
    let filled = lines.filter(|(line, _)| !matches!(line, Ok(line) if line.trim().is_empty()));
    Box::new(filled.map(move |(line, number)| {
        let line = line.map_err(|error| anyhow!("line {number}: {error}"))?;
        let mut object: Map<String, Value> = serde_json::from_str(&line)
            .map_err(|error| anyhow!("line {number} is no JSON object: {}", place(&error)))?;
        let label = object.remove(&label);
        if label.is_none() && needs_label == NeedsLabel::Yes {
            bail!("line {number} has no label");
        }
        let id = match object.remove(&id) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => bail!("line {number}: the id must be a string or a number"),
        };
        let inputs = match object.remove("inputs") {
            Some(Value::Object(inputs)) => inputs,
            Some(_) => bail!("line {number}: `inputs` must be an object"),
            None => object,
        };
        Ok(Record { number, inputs, label, id })
    }))
}

fn place(error: &serde_json::Error) -> String {
    format!("column {}", error.column())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<Record>> {
        records(Box::new(Cursor::new(text.as_bytes().to_vec())), &Reading::default()).collect()
    }

    #[test]
    fn both_forms_and_empty_lines_are_read() {
        let rows = read("{\"inputs\":{\"a\":1},\"label\":\"x\",\"id\":7}\n\n{\"a\":2,\"label\":true}\n").expect("read");
        assert_eq!((rows.len(), rows[0].id.as_deref(), rows[1].number), (2, Some("7"), 3));
        assert_eq!(rows[1].inputs["a"], 2);
    }

    #[test]
    fn a_bad_line_is_named_without_its_content() {
        let error = read("{\"a\":1,\"label\":1}\n{\"secret\": oops}\n").expect_err("refused").to_string();
        assert!(error.starts_with("line 2") && !error.contains("secret"), "{error}");
        assert!(read("{\"a\":1}\n").expect_err("refused").to_string().contains("no label"));
    }
}
