//! Whether a message may be given to Arrow's reader: it declares only what it has, and unpacks to no more than it may.
//!
//! Arrow's reader checks the contents of arrays (offsets, keys, UTF-8) and trusts a message's own table of contents. That
//! table is held against the message here.

use std::collections::HashMap;

use arrow_ipc::{BodyCompression, Message, MessageHeader, RecordBatch, root_as_message};

use super::broken;
use crate::stream::decode::DecodeError;

/// The bytes before every packed buffer: how long it is unpacked.
const LENGTH: usize = 8;

/// No schema that a learner can have needs more columns; nested ones are refused later.
const MAX_FIELDS: usize = 1_100_000;

/// What a message's metadata says.
pub(super) struct Checked {
    /// The bytes of its body.
    pub body_length: usize,
}

/// The sizes of the dictionaries that a stream has; the newest of an id takes the place of the one before.
#[derive(Default)]
pub(super) struct Dictionaries {
    sizes: HashMap<i64, usize>,
}

impl Dictionaries {
    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.sizes.values().sum()
    }
}

/// Checks the metadata alone.
pub(super) fn metadata(metadata: &[u8]) -> Result<Checked, DecodeError> {
    let message = parsed(metadata)?;
    match usize::try_from(message.bodyLength()) {
        Ok(body_length) => Ok(Checked { body_length }),
        Err(_) => Err(broken("a message has a negative length")),
    }
}

/// Checks a message whose metadata are its first bytes.
pub(super) fn message(
    message: &[u8],
    metadata: usize,
    longest: usize,
    dictionaries: &mut Dictionaries,
) -> Result<(), DecodeError> {
    let (metadata, body) = message.split_at(metadata);
    let message = parsed(metadata)?;
    match message.header_type() {
        MessageHeader::Schema => {
            let fields = message.header_as_schema().and_then(|schema| schema.fields());
            match fields.is_some_and(|fields| fields.len() <= MAX_FIELDS) {
                true => Ok(()),
                false => Err(broken("the schema has no columns, or too many")),
            }
        }
        MessageHeader::RecordBatch => {
            let batch = message.header_as_record_batch().ok_or_else(|| broken("a batch is empty"))?;
            contents(&batch, body, longest).map(drop)
        }
        MessageHeader::DictionaryBatch => {
            let dictionary = message.header_as_dictionary_batch().ok_or_else(|| broken("a dictionary is empty"))?;
            if dictionary.isDelta() {
                return Err(broken("dictionaries that go on in further messages are not taken"));
            }
            let batch = dictionary.data().ok_or_else(|| broken("a dictionary is empty"))?;
            let unpacked = contents(&batch, body, longest)?;
            dictionaries.sizes.insert(dictionary.id(), unpacked);
            if dictionaries.bytes() > longest {
                return Err(DecodeError::TooLong { limit: longest });
            }
            Ok(())
        }
        _ => Err(broken("a message is of a kind that no stream of batches has")),
    }
}

fn parsed(metadata: &[u8]) -> Result<Message<'_>, DecodeError> {
    root_as_message(metadata).map_err(|_| broken("the metadata of a message are damaged"))
}

/// Checks that every buffer lies inside the body; the bytes that the batch takes unpacked.
fn contents(batch: &RecordBatch<'_>, body: &[u8], longest: usize) -> Result<usize, DecodeError> {
    let rows = usize::try_from(batch.length()).map_err(|_| broken("a batch has a negative length"))?;
    // A value takes at least one bit.
    let most_values = longest.saturating_mul(8);
    for node in batch.nodes().iter().flatten() {
        let fits = usize::try_from(node.length()).is_ok_and(|length| length <= most_values);
        if !fits || !(0..=node.length()).contains(&node.null_count()) {
            return Err(broken("a column has a length that it cannot have"));
        }
    }
    if rows > most_values {
        return Err(broken("a batch has more rows than it has room for"));
    }
    let compression = batch.compression();
    let mut unpacked = 0usize;
    for buffer in batch.buffers().iter().flatten() {
        let inside = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let part = inside.and_then(|(from, length)| body.get(from..from.checked_add(length)?));
        let part = part.ok_or_else(|| broken("a buffer lies outside its message"))?;
        unpacked = unpacked.saturating_add(size(part, compression)?);
    }
    if unpacked > longest { Err(DecodeError::TooLong { limit: longest }) } else { Ok(unpacked) }
}

/// The bytes of a buffer once it is unpacked.
fn size(buffer: &[u8], compression: Option<BodyCompression<'_>>) -> Result<usize, DecodeError> {
    if compression.is_none() || buffer.is_empty() {
        return Ok(buffer.len());
    }
    let length = buffer.first_chunk::<LENGTH>().ok_or_else(|| broken("a packed buffer is too short"))?;
    match i64::from_le_bytes(*length) {
        // Not packed after all.
        -1 => Ok(buffer.len() - LENGTH),
        length => usize::try_from(length).map_err(|_| broken("a packed buffer has a negative length")),
    }
}
