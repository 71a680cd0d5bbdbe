//! An Arrow IPC stream: the schema, then record batches of any size, one example a row.
//!
//! The stream is cut into its messages here. A message is checked before Arrow's own reader sees it ([`check`]): every length
//! that it declares is one that it has, and it unpacks to no more than it may. So whatever comes, memory stays within the longest
//! message, its unpacked form and the dictionaries, which together have the same bound.

mod check;
mod columns;
mod table;
mod text;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::ArrowError;
use bytes::{Buf, Bytes, BytesMut};

use self::check::{Checked, Dictionaries};
use self::table::TablePlan;
use super::{DecodeError, Expected, Fault, Progress, RowDecoder, RowSink, SchemaAge, Table};

/// What stands before the length of a message, since version 0.15 of the format (2019). Streams of before are not taken.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A body of messages.
pub(super) struct Arrow {
    table: Table,
    waiting: BytesMut,
    reader: StreamDecoder,
    /// Batches that were read and not decoded yet.
    batches: VecDeque<RecordBatch>,
    dictionaries: Dictionaries,
    plan: Option<TablePlan>,
    /// The stream has said that it is over.
    closed: bool,
    rows: u64,
    longest: usize,
    ended: bool,
}

impl Arrow {
    /// For messages of at most so many bytes, unpacked.
    pub fn new(table: Table, longest: usize) -> Self {
        Self {
            table,
            waiting: BytesMut::new(),
            reader: StreamDecoder::new(),
            batches: VecDeque::new(),
            dictionaries: Dictionaries::default(),
            plan: None,
            closed: false,
            rows: 0,
            longest,
            ended: false,
        }
    }

    /// The next whole message, checked; `None` if there is none yet.
    fn next_message(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.closed {
            return match self.waiting.is_empty() {
                true => Ok(None),
                false => Err(broken("the stream goes on after its end")),
            };
        }
        let Some(frame) = Frame::read(&self.waiting)? else { return Ok(None) };
        if frame.metadata == 0 {
            self.waiting.advance(frame.prefix);
            self.closed = true;
            return self.next_message();
        }
        let too_long = DecodeError::TooLong { limit: self.longest };
        if frame.metadata > self.longest {
            return Err(too_long);
        }
        let body = frame.prefix + frame.metadata;
        let Some(metadata) = self.waiting.get(frame.prefix..body) else { return Ok(None) };
        let Checked { body_length } = check::metadata(metadata)?;
        if body_length > self.longest {
            return Err(too_long);
        }
        let end = body + body_length;
        let Some(message) = self.waiting.get(frame.prefix..end) else { return Ok(None) };
        check::message(message, frame.metadata, self.longest, &mut self.dictionaries)?;
        Ok(Some(self.waiting.split_to(end).freeze()))
    }

    /// Lets Arrow read a checked message. One without a body, such as the schema, is only looked at with the next.
    fn read(&mut self, message: Bytes) -> Result<(), DecodeError> {
        let (reader, batches) = (&mut self.reader, &mut self.batches);
        // What is checked leaves nothing known that could make it panic. Should it panic all the same, it is over with this body
        // and with nothing else: the reader is not used again.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut message = message.into();
            loop {
                batches.extend(reader.decode(&mut message)?);
                if message.is_empty() {
                    return Ok::<_, ArrowError>(());
                }
            }
        }));
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(broken("a message is damaged, or of a kind that is not understood")),
        }
    }
}

impl RowDecoder for Arrow {
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
        loop {
            if self.plan.is_none()
                && let Some(schema) = self.reader.schema()
            {
                match TablePlan::find(expected.schema, &schema, &self.table) {
                    Err(error) if age == SchemaAge::Remembered && error.names_an_unknown_feature() => {
                        return Ok(Progress::UnknownFeature);
                    }
                    found => self.plan = Some(found?),
                }
            }
            if let Some(batch) = self.batches.pop_front() {
                let plan = self.plan.as_ref().ok_or_else(|| broken("a batch stands before the schema"))?;
                let first = self.rows;
                self.rows += batch.num_rows() as u64;
                if plan.rows(&batch, first, expected, rows).is_break() {
                    return Ok(Progress::Stopped);
                }
                continue;
            }
            match self.next_message()? {
                Some(message) => self.read(message)?,
                None => break,
            }
        }
        if !self.ended {
            return Ok(Progress::Hungry);
        }
        if !self.waiting.is_empty() {
            return Err(broken("the stream breaks off in the middle of a message"));
        }
        if self.rows == 0 {
            let fault = Fault { pointer: String::new(), detail: "there is no example in the body".into() };
            return Err(DecodeError::Invalid(vec![fault]));
        }
        Ok(Progress::Hungry)
    }

    fn held(&self) -> usize {
        self.waiting.len() + self.dictionaries.bytes()
    }
}

/// The beginning of a message.
struct Frame {
    /// The bytes before the metadata.
    prefix: usize,
    /// The bytes of the metadata; none at the end of the stream.
    metadata: usize,
}

impl Frame {
    /// Reads what stands before a message; `None` if it is not whole yet.
    fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let word = |at: usize| bytes.get(at..at + 4).map(|word| [word[0], word[1], word[2], word[3]]);
        match (word(0), word(4)) {
            (Some(CONTINUATION), Some(length)) => {
                let metadata = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
                Ok(Some(Self { prefix: 8, metadata }))
            }
            (Some(CONTINUATION) | None, _) => Ok(None),
            (Some(_), _) => Err(broken("what stands there is no message of the format since version 0.15")),
        }
    }
}

fn broken(detail: &str) -> DecodeError {
    DecodeError::Malformed(Fault { pointer: String::new(), detail: format!("the Arrow stream: {detail}") })
}
