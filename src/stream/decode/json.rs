//! The body `{"examples": [{"inputs": {…}, "label": …, "id"?: …}, …]}`, and what it shares with other bodies: one list
//! under one key, bounded in length.

use serde::de::{Error, MapAccess, SeqAccess};

use super::example::{Example, ExampleReader};
use super::place::{At, FaultList};
use super::read::{Key, Kind, Read, Skip, answer, read_text};
use super::{DecodeError, Expected};
use crate::stream::example::NewExample;

/// The examples of a JSON body.
pub(super) fn examples(body: &[u8], expected: Expected<'_>) -> Result<Vec<NewExample>, DecodeError> {
    let reader = ExampleReader::of(expected);
    let faults = FaultList::default();
    let read = read_text(body, faults.root(), Body { reader: &reader, max_rows: expected.max_rows });
    answer(read, faults, expected.max_rows)
}

#[derive(Clone, Copy)]
struct Body<'r> {
    reader: &'r ExampleReader<'r>,
    max_rows: usize,
}

impl<'de> Kind<'de> for Body<'_> {
    type Output = Vec<NewExample>;

    fn unfit(self, at: At<'_>) -> Vec<NewExample> {
        at.fault("an object with `examples` is expected");
        Vec::new()
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<Vec<NewExample>, A::Error> {
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
            let list = Rows { kind: Example(self.reader), max_rows: self.max_rows };
            if examples.replace(object.next_value_seed(Read { at, kind: list })?).is_some() {
                at.fault("the key stands there twice");
            }
        }
        if examples.is_none() {
            at.key("examples").fault("the examples are missing");
        }
        Ok(examples.unwrap_or_default().into_iter().flatten().collect())
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
