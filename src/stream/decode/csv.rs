//! CSV: a header that names the columns, then one example a record.
//!
//! A record may go on over line breaks inside quotes, so the body is cut at the last line break that ends a record, and
//! what stands before it is parsed at once. An empty value is a missing one.

use bytes::Bytes;
use csv::StringRecord;

use super::columns::{Layout, Plan, Source, likely_delimiter};
use super::example::Id;
use super::label::{LabelValue, Labels};
use super::place::{At, FaultList};
use super::read::{Kind, Number};
use super::row::FeatureValue;
use super::{DecodeError, Expected, Fault, Progress, RowDecoder, RowSink, SchemaAge, Table};
use crate::stream::example::{Label, NewExample, Row, Value};
use crate::stream::schema::{Feature, FeatureKind};

/// What Excel writes before everything.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body of records.
pub(super) struct Csv {
    table: Table,
    scan: Scan,
    /// What was fed and is not decoded yet.
    waiting: Vec<u8>,
    /// How much of it was looked through for the ends of records.
    scanned: usize,
    /// How much of it are whole records.
    whole: usize,
    plan: Option<(Plan, usize)>,
    rows: u64,
    longest: usize,
    ended: bool,
}

impl Csv {
    /// For records of at most so many bytes.
    pub fn new(table: Table, longest: usize) -> Self {
        Self {
            table,
            scan: Scan::Start,
            waiting: Vec::new(),
            scanned: 0,
            whole: 0,
            plan: None,
            rows: 0,
            longest,
            ended: false,
        }
    }

    /// The delimiter; `None` before the first line is whole.
    fn delimiter(&mut self) -> Option<u8> {
        if self.table.delimiter.is_none() && (self.ended || self.waiting.contains(&b'\n')) {
            self.table.delimiter = Some(likely_delimiter(&self.waiting));
        }
        self.table.delimiter
    }

    /// The records of a text that ends with one.
    fn decode_records(
        &mut self,
        text: &[u8],
        context: (Expected<'_>, SchemaAge),
        rows: &mut dyn RowSink,
    ) -> Result<Progress, DecodeError> {
        let (expected, age) = context;
        let delimiter = self.table.delimiter.unwrap_or(b',');
        let text = match self.plan {
            None => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
            Some(_) => text,
        };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
        let mut record = StringRecord::new();
        if self.plan.is_none() {
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(Progress::Hungry),
                Err(_) => return Err(malformed(String::new(), "the header is no UTF-8")),
            }
            let header: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
            match Plan::find(expected.schema, &header, &self.table, Layout::Cells) {
                Err(error) if age == SchemaAge::Remembered && error.names_an_unknown_feature() => {
                    return Ok(Progress::UnknownFeature);
                }
                found => self.plan = Some((found?, header.len())),
            }
        }
        let (plan, width) = self.plan.as_ref().expect("it was found above, or before");
        let labels = Labels::of(expected.task);
        loop {
            let row = self.rows;
            let found = match reader.read_record(&mut record) {
                Ok(false) => return Ok(Progress::Hungry),
                Ok(true) if record.len() == *width => read(&record, plan, (row, expected), &labels),
                Ok(true) => {
                    let detail = "the record has another number of values than the header has columns";
                    Err(DecodeError::Invalid(vec![Fault { pointer: format!("/{row}"), detail: detail.into() }]))
                }
                Err(_) => Err(malformed(format!("/{row}"), "the record is no UTF-8")),
            };
            self.rows += 1;
            if rows.take(row, found).is_break() {
                return Ok(Progress::Stopped);
            }
        }
    }
}

impl RowDecoder for Csv {
    fn feed(&mut self, piece: Bytes) {
        self.waiting.extend_from_slice(&piece);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn decode(
        &mut self,
        expected: Expected<'_>,
        age: SchemaAge,
        rows: &mut dyn RowSink,
    ) -> Result<Progress, DecodeError> {
        if let Some(delimiter) = self.delimiter() {
            if let Some(end) = self.scan.last_end(&self.waiting[self.scanned..], delimiter) {
                self.whole = self.scanned + end;
            }
            self.scanned = self.waiting.len();
        }
        if self.ended {
            self.whole = self.waiting.len();
        }
        if self.waiting.len() - self.whole > self.longest {
            return Err(DecodeError::TooLong { limit: self.longest });
        }
        if self.whole > 0 {
            let text = std::mem::take(&mut self.waiting);
            let progress = self.decode_records(&text[..self.whole], (expected, age), rows)?;
            if progress == Progress::UnknownFeature {
                self.waiting = text;
                return Ok(progress);
            }
            self.waiting = text[self.whole..].to_vec();
            self.scanned = self.waiting.len();
            self.whole = 0;
            if progress == Progress::Stopped {
                return Ok(progress);
            }
        }
        if self.ended && self.rows == 0 {
            let detail = "there is no example in the body: a header and at least one record are expected";
            return Err(DecodeError::Invalid(vec![Fault { pointer: String::new(), detail: detail.into() }]));
        }
        Ok(Progress::Hungry)
    }

    fn held(&self) -> usize {
        self.waiting.len()
    }
}

fn malformed(pointer: String, detail: &str) -> DecodeError {
    DecodeError::Malformed(Fault { pointer, detail: detail.into() })
}

/// The example of a record that has a value for every column.
fn read(
    record: &StringRecord,
    plan: &Plan,
    (row, expected): (u64, Expected<'_>),
    labels: &Labels<'_>,
) -> Result<NewExample, DecodeError> {
    let faults = FaultList::default();
    let root = faults.root();
    let at = root.index(usize::try_from(row).unwrap_or(usize::MAX));
    let inputs = at.key("inputs");
    let features = expected.schema.features.iter().zip(&plan.columns.sources);
    let values: Row =
        features.map(|(feature, source)| value(record, feature, source, inputs.key(&feature.name))).collect();
    let label = label(&record[plan.label], labels, at.key("label"));
    let id = plan.id.map(|column| record[column].trim()).filter(|id| !id.is_empty());
    let id = id.and_then(|id| Id.text(at.key("id"), id));
    match label {
        Some(label) if faults.is_empty() => Ok(NewExample { id, row: values, label }),
        _ => Err(DecodeError::Invalid(faults.into_faults())),
    }
}

fn value(record: &StringRecord, feature: &Feature, source: &Source, at: At<'_>) -> Value {
    let value = FeatureValue(feature);
    match source {
        Source::Absent => Value::Missing,
        Source::Cell(column) => {
            let text = &record[*column];
            match feature.kind {
                FeatureKind::Numeric if text.trim().is_empty() => value.missing(at),
                FeatureKind::Numeric => match number(text) {
                    Some(number) => value.number(at, number),
                    None => value.unfit(at),
                },
                FeatureKind::Text(_) => value.text(at, text),
                FeatureKind::Timestamp(_) if text.trim().is_empty() => value.missing(at),
                FeatureKind::Timestamp(_) => match number(text) {
                    Some(seconds) => value.number(at, seconds),
                    None => value.text(at, text.trim()),
                },
                _ if text.is_empty() => value.missing(at),
                _ => value.text(at, text),
            }
        }
        Source::Cells(columns) if columns.iter().all(|&column| record[column].trim().is_empty()) => value.missing(at),
        Source::Cells(columns) => value.numbers(at, columns.iter().map(|&column| number(&record[column]))),
    }
}

fn label(text: &str, labels: &Labels<'_>, at: At<'_>) -> Option<Label> {
    let text = text.trim();
    if text.is_empty() {
        at.fault("the label is missing");
        return None;
    }
    match (labels, number(text)) {
        (Labels::Number, Some(number)) => LabelValue(labels).number(at, number),
        _ => LabelValue(labels).text(at, text),
    }
}

/// A finite number.
fn number(text: &str) -> Option<Number> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Number::Real)
}

/// Where in a record the text stands, so far as quotes go: as the parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// Before a value.
    Start,
    /// In a value without quotes: one inside it is a character like others.
    Plain,
    /// In a quoted value.
    Quoted,
    /// Behind a quote in a quoted value: its end, or the first of two that stand for one.
    Quote,
}

impl Scan {
    /// Goes over the next bytes; where the last record that ends among them ends.
    fn last_end(&mut self, bytes: &[u8], delimiter: u8) -> Option<usize> {
        if matches!(self, Self::Start | Self::Plain) && !bytes.contains(&b'"') {
            if let Some(&last) = bytes.last() {
                *self = if [delimiter, b'\n', b'\r'].contains(&last) { Self::Start } else { Self::Plain };
            }
            return bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        }
        let mut end = None;
        for (index, &byte) in bytes.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Start | Self::Quote, b'"') => Self::Quoted,
                (Self::Quoted, b'"') => Self::Quote,
                (Self::Quoted, _) => Self::Quoted,
                (_, b'\n') => {
                    end = Some(index + 1);
                    Self::Start
                }
                (_, byte) if byte == delimiter || byte == b'\r' => Self::Start,
                _ => Self::Plain,
            };
        }
        end
    }
}
