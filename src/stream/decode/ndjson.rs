//! One example a line. Lines of nothing but white space are passed over; the others count with them.

use std::io::BufRead;

use bytes::{Buf, Bytes};

use super::example::{Example, ExampleReader};
use super::place::FaultList;
use super::read::{broken, read_text};
use super::{DecodeError, Expected, Fault, Progress, RowDecoder, RowSink, SchemaAge};
use crate::stream::example::NewExample;

/// A body of lines.
pub(super) struct Ndjson {
    piece: Bytes,
    /// The beginning of the line that the piece goes on with.
    begun: Vec<u8>,
    /// A line that waits for a newer schema.
    waiting: Option<Bytes>,
    /// The next line.
    line: usize,
    rows: usize,
    longest: usize,
    ended: bool,
}

impl Ndjson {
    /// For lines of at most so many bytes.
    pub fn new(longest: usize) -> Self {
        Self { piece: Bytes::new(), begun: Vec::new(), waiting: None, line: 0, rows: 0, longest, ended: false }
    }

    /// The next whole line; at the end of the body also one without a line break.
    fn next_line(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if let Some(line) = self.waiting.take() {
            return Ok(Some(line));
        }
        let length = (&self.piece[..]).skip_until(b'\n').expect("reading memory cannot fail");
        let is_whole = length > 0 && self.piece[length - 1] == b'\n';
        if self.begun.len() + length > self.longest.saturating_add(1) {
            return Err(DecodeError::TooLong { limit: self.longest });
        }
        if self.begun.is_empty() && is_whole {
            return Ok(Some(self.piece.split_to(length)));
        }
        self.begun.extend_from_slice(&self.piece[..length]);
        self.piece.advance(length);
        let is_last = self.ended && !self.begun.is_empty();
        Ok((is_whole || is_last).then(|| std::mem::take(&mut self.begun).into()))
    }
}

impl RowDecoder for Ndjson {
    fn feed(&mut self, piece: Bytes) {
        self.piece = piece;
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
        let reader = ExampleReader::of(expected);
        while let Some(line) = self.next_line()? {
            if line.trim_ascii().is_empty() {
                self.line += 1;
                continue;
            }
            let found = example(&line, self.line, &reader);
            let is_unknown = |error: &DecodeError| error.names_an_unknown_feature();
            if age == SchemaAge::Remembered && found.as_ref().is_err_and(is_unknown) {
                self.waiting = Some(line);
                return Ok(Progress::UnknownFeature);
            }
            let row = self.line as u64;
            self.line += 1;
            self.rows += 1;
            if rows.take(row, found).is_break() {
                return Ok(Progress::Stopped);
            }
        }
        if self.ended && self.rows == 0 {
            let fault = Fault { pointer: String::new(), detail: "there is no example in the body".into() };
            return Err(DecodeError::Invalid(vec![fault]));
        }
        Ok(Progress::Hungry)
    }

    fn held(&self) -> usize {
        self.piece.len() + self.begun.len()
    }
}

fn example(line: &[u8], index: usize, reader: &ExampleReader<'_>) -> Result<NewExample, DecodeError> {
    let faults = FaultList::default();
    let root = faults.root();
    let at = root.index(index);
    match read_text(line, at, Example(reader)) {
        Ok(Some(example)) if faults.is_empty() => Ok(example),
        Ok(_) => Err(DecodeError::Invalid(faults.into_faults())),
        Err(error) => {
            let pointer = at.pointer();
            Err(broken(&error, faults, pointer, index + 1))
        }
    }
}
