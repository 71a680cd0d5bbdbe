//! The body `{"examples": [{"inputs": {…}, "label": …, "id"?: …}, …]}`, and what it shares with other bodies: one list
//! under one key, bounded in length.

use bytes::Bytes;
use serde::de::{Error, MapAccess, SeqAccess};

use super::example::{Example, ExampleReader};
use super::place::{At, FaultList};
use super::read::{Key, Kind, Read, Skip, answer, read_text};
use super::{DecodeError, Expected, Progress, RowDecoder, RowSink, SchemaAge};
use crate::stream::example::NewExample;

/// A JSON document that is waited for until it is whole.
pub(super) struct Json {
    body: Vec<u8>,
    longest: usize,
    ended: bool,
}

impl Json {
    /// For a document of at most so many bytes.
    pub fn new(longest: usize) -> Self {
        Self { body: Vec::new(), longest, ended: false }
    }
}

impl RowDecoder for Json {
    fn feed(&mut self, piece: Bytes) {
        self.body.extend_from_slice(&piece);
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
        if self.body.len() > self.longest {
            return Err(DecodeError::TooLong { limit: self.longest });
        }
        if !self.ended {
            return Ok(Progress::Hungry);
        }
        let reader = ExampleReader::of(expected);
        let faults = FaultList::default();
        let read = read_text(&self.body, faults.root(), Body { reader: &reader, max_rows: expected.max_rows });
        let (found, faults) = answer(read, faults, expected.max_rows)?;
        if age == SchemaAge::Remembered && faults.name_an_unknown_feature() {
            return Ok(Progress::UnknownFeature);
        }
        self.body = Vec::new();
        give(found, faults, rows)
    }

    fn held(&self) -> usize {
        self.body.len()
    }
}

/// Gives each row its own faults; those of no row are the body's.
fn give(found: Found, faults: FaultList, rows: &mut dyn RowSink) -> Result<Progress, DecodeError> {
    let kept = faults.into_faults();
    let mut of_rows = vec![false; kept.len()];
    for (row, Between { example, from, until }) in (0u64..).zip(found.rows) {
        let (from_kept, until_kept) = (from.min(kept.len()), until.min(kept.len()));
        of_rows[from_kept..until_kept].fill(true);
        let outcome = match example {
            Some(example) if from == until => Ok(example),
            _ => Err(DecodeError::Invalid(kept[from_kept..until_kept].to_vec())),
        };
        if rows.take(row, outcome).is_break() {
            return Ok(Progress::Stopped);
        }
    }
    let of_body: Vec<_> = kept.into_iter().zip(of_rows).filter_map(|(fault, row)| (!row).then_some(fault)).collect();
    if of_body.is_empty() { Ok(Progress::Hungry) } else { Err(DecodeError::Invalid(of_body)) }
}

/// The examples of a document.
#[derive(Default)]
struct Found {
    rows: Vec<Between>,
}

/// An example and the count of faults before and behind it.
struct Between {
    example: Option<NewExample>,
    from: usize,
    until: usize,
}

#[derive(Clone, Copy)]
struct Body<'r> {
    reader: &'r ExampleReader<'r>,
    max_rows: usize,
}

impl<'de> Kind<'de> for Body<'_> {
    type Output = Found;

    fn unfit(self, at: At<'_>) -> Found {
        at.fault("an object with `examples` is expected");
        Found::default()
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<Found, A::Error> {
        let mut examples = None;
        while let Some(key) =
            object.next_key_seed(Read { at, kind: Key(|key: &str| (key == "examples").then_some(0)) })?
        {
            if let Err(unknown) = key {
                at.key(&unknown).fault("unknown key: the body has `examples`");
                object.next_value_seed(Read { at, kind: Skip })?;
                continue;
            }
            let at = at.key("examples");
            let list = Rows { kind: Counted(Example(self.reader)), max_rows: self.max_rows };
            if examples.replace(object.next_value_seed(Read { at, kind: list })?).is_some() {
                at.fault("the key stands there twice");
            }
        }
        if examples.is_none() {
            at.key("examples").fault("the examples are missing");
        }
        Ok(Found { rows: examples.unwrap_or_default() })
    }
}

/// An example with the faults that are its own.
#[derive(Clone, Copy)]
struct Counted<'r>(Example<'r>);

impl<'de> Kind<'de> for Counted<'_> {
    type Output = Between;

    fn unfit(self, at: At<'_>) -> Between {
        let from = at.faults().count();
        let example = self.0.unfit(at);
        Between { example, from, until: at.faults().count() }
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, object: A) -> Result<Between, A::Error> {
        let from = at.faults().count();
        let example = self.0.object(at, object)?;
        Ok(Between { example, from, until: at.faults().count() })
    }
}

/// A list of one to `max_rows` values of a kind. A longer one is not read to its end.
pub(super) struct Rows<K> {
    pub kind: K,
    pub max_rows: usize,
}

impl<'de, K: Kind<'de> + Copy> Kind<'de> for Rows<K> {
    type Output = Vec<K::Output>;

    fn unfit(self, at: At<'_>) -> Self::Output {
        at.fault("a list is expected");
        Vec::new()
    }

    fn list<A: SeqAccess<'de>>(self, at: At<'_>, mut list: A) -> Result<Self::Output, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element_seed(Read { at: at.index(rows.len()), kind: self.kind })? {
            if rows.len() == self.max_rows {
                at.faults().note_too_many_rows();
                return Err(A::Error::custom("too many rows"));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            at.fault("the list is empty");
        }
        Ok(rows)
    }
}
