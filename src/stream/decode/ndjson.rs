//! One example a line. Lines of nothing but white space are passed over; the others count from 1 with them.

use super::example::{Example, ExampleReader};
use super::place::FaultList;
use super::read::{broken, read_text};
use super::{DecodeError, Expected};
use crate::stream::example::NewExample;

/// The examples of an NDJSON body.
pub(super) fn examples(body: &[u8], expected: Expected<'_>) -> Result<Vec<NewExample>, DecodeError> {
    let reader = ExampleReader::of(expected);
    let faults = FaultList::default();
    let root = faults.root();
    let mut examples = Vec::new();
    let mut rows = 0;
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if rows == expected.max_rows {
            return Err(DecodeError::TooManyRows { limit: expected.max_rows });
        }
        rows += 1;
        let at = root.index(index);
        match read_text(line, at, Example(&reader)) {
            Ok(example) => examples.extend(example),
            Err(error) => {
                let pointer = at.pointer();
                return Err(broken(&error, faults, pointer, index + 1));
            }
        }
    }
    if rows == 0 {
        root.fault("there is no example in the body");
    }
    if faults.is_empty() { Ok(examples) } else { Err(DecodeError::Invalid(faults.into_faults())) }
}
