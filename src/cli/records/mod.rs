//! Files of records: CSV with a header, NDJSON, or a pair of IDX files, plain or gzipped, read one record at a time.

mod columns;
mod csv;
mod idx;
mod ndjson;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// One record of a file, as the HTTP surface takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which record of the file: 1 for the first.
    pub number: u64,
    /// The inputs by feature.
    pub inputs: Map<String, Value>,
    /// The label, if the file has one.
    pub label: Option<Value>,
    /// The id, if the file has one.
    pub id: Option<String>,
}

/// How a file is to be read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// CSV: the column of the label; NDJSON: the key (`label` unless told).
    pub label: Option<String>,
    /// CSV: the column of the id; NDJSON: the key (`id` unless told).
    pub id: Option<String>,
    /// CSV: what stands between values.
    pub delimiter: Option<char>,
    /// IDX: the file of the labels.
    pub labels: Option<PathBuf>,
    /// Whether a file without labels is an error.
    pub needs_label: NeedsLabel,
}

/// Whether every record must have a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NeedsLabel {
    /// To learn from.
    #[default]
    Yes,
    /// To predict.
    No,
}

/// The records of a file.
pub type Records = Box<dyn Iterator<Item = anyhow::Result<Record>> + Send>;

/// Opens a file of records; `schema` is the learner's, as the server shows it.
pub fn open(file: &Path, reading: &Reading, schema: &Value) -> anyhow::Result<Records> {
    let mut input = unzipped(file)?;
    let start = input.fill_buf().with_context(|| format!("reading {}", file.display()))?;
    if start.starts_with(&[0, 0]) {
        let labels = idx::labels_beside(file, reading)?;
        return idx::records(input, labels, schema);
    }
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.trim_end_matches(".gz");
    let looks_like_json = start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if name.ends_with(".ndjson") || name.ends_with(".jsonl") || looks_like_json {
        return Ok(ndjson::records(input, reading));
    }
    csv::records(input, reading, schema)
}

/// The digest of a file's bytes: with the record's number it makes an id for records that have none.
pub fn digest(file: &Path) -> anyhow::Result<String> {
    let mut input = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let mut hasher = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut part).with_context(|| format!("reading {}", file.display()))?;
        if read == 0 {
            break;
        }
        hasher.update(&part[..read]);
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn unzipped(file: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    let mut input = BufReader::new(File::open(file).with_context(|| format!("opening {}", file.display()))?);
    let start = input.fill_buf().with_context(|| format!("reading {}", file.display()))?;
    if start.is_empty() {
        bail!("{} is empty", file.display());
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(input))));
    }
    Ok(Box::new(input))
}
