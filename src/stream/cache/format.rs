//! The bytes of a segment's file.
//!
//! A magic number; the records; the labels once more, one behind the other; the table of where the records begin; the
//! footer. Numbers are little-endian. A record is a CRC-32 of what follows, the label, and the row as stores write it
//! ([`row_codec`]); a tombstone has neither label nor row. The labels stand by themselves so that a start reads ten bytes of a
//! row and not all of it. The footer comes last, so that a file that was cut off has none.

use crate::stream::example::{Entry, Label, StoredExample};
use crate::stream::ids::Seq;
use crate::stream::row_codec;

/// What a file begins with.
pub(super) const MAGIC: [u8; 8] = *b"PernSeg\x01";
/// The bytes of a footer.
pub(super) const FOOTER: usize = 80;

const FOOTER_MAGIC: [u8; 8] = *b"PernSeal";
const FORMAT: u32 = 1;

const NO_LABEL: u8 = 0;
const CLASS: u8 = 1;
const NUMBER: u8 = 2;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub learner: i64,
    /// When the learner was created, in microseconds: another one of the same number is of another database.
    pub created_at: i64,
    pub first: u64,
    pub places: u32,
    /// Every correction of the stream up to this number is in the rows.
    pub corrections: u64,
    pub labels_at: u64,
    pub table_at: u64,
    pub labels_crc: u32,
    pub table_crc: u32,
}

impl Footer {
    pub fn to_bytes(self) -> [u8; FOOTER] {
        let mut bytes = Vec::with_capacity(FOOTER);
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.places.to_le_bytes());
        bytes.extend_from_slice(&self.learner.to_le_bytes());
        bytes.extend_from_slice(&self.created_at.to_le_bytes());
        for number in [self.first, self.corrections, self.labels_at, self.table_at] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.labels_crc.to_le_bytes());
        bytes.extend_from_slice(&self.table_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(FOOTER, 0);
        bytes.try_into().expect("the vector was made as long as a footer")
    }

    pub fn from_bytes(bytes: &[u8; FOOTER]) -> Result<Self, &'static str> {
        let four = |at: usize| -> [u8; 4] { bytes[at..at + 4].try_into().expect("four bytes within the footer") };
        let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("eight bytes within the footer") };
        if eight(0) != FOOTER_MAGIC {
            return Err("it was not sealed");
        }
        if u32::from_le_bytes(four(72)) != crc32fast::hash(&bytes[..72]) {
            return Err("its footer is damaged");
        }
        if u32::from_le_bytes(four(8)) != FORMAT {
            return Err("its format is not known");
        }
        Ok(Self {
            places: u32::from_le_bytes(four(12)),
            learner: i64::from_le_bytes(eight(16)),
            created_at: i64::from_le_bytes(eight(24)),
            first: u64::from_le_bytes(eight(32)),
            corrections: u64::from_le_bytes(eight(40)),
            labels_at: u64::from_le_bytes(eight(48)),
            table_at: u64::from_le_bytes(eight(56)),
            labels_crc: u32::from_le_bytes(four(64)),
            table_crc: u32::from_le_bytes(four(68)),
        })
    }
}

/// Writes the record of an entry behind `bytes`.
pub(super) fn write_record(entry: &Entry, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    write_label(entry.example().map(|example| &example.label), bytes);
    if let Entry::Example(example) = entry {
        bytes.extend_from_slice(&row_codec::encode(&example.row));
    }
    let crc = crc32fast::hash(&bytes[start + 4..]);
    bytes[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a record; the id stays with the store.
pub(super) fn read_record(seq: Seq, record: &[u8]) -> Result<Entry, String> {
    let (crc, mut rest) = record.split_first_chunk().ok_or_else(|| "a record is too short".to_owned())?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(rest) {
        return Err("a record is damaged".into());
    }
    match read_label(&mut rest)? {
        None => Ok(Entry::Deleted(seq)),
        Some(label) => Ok(Entry::Example(StoredExample { seq, id: None, row: row_codec::decode(rest)?, label })),
    }
}

/// Writes a label, or that there is none, behind `bytes`.
pub(super) fn write_label(label: Option<&Label>, bytes: &mut Vec<u8>) {
    match label {
        None => bytes.push(NO_LABEL),
        Some(Label::Class(class)) => {
            bytes.push(CLASS);
            let length = u32::try_from(class.len()).expect("the schema bounds the length of a class");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(class.as_bytes());
        }
        Some(Label::Number(number)) => {
            bytes.push(NUMBER);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Reads a label and moves behind it.
pub(super) fn read_label(bytes: &mut &[u8]) -> Result<Option<Label>, String> {
    let short = || "a label is too short".to_owned();
    let (tag, rest) = bytes.split_first().ok_or_else(short)?;
    let (label, rest) = match *tag {
        NO_LABEL => (None, rest),
        CLASS => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
            let (class, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            let class = std::str::from_utf8(class).map_err(|_| "a class is no text".to_owned())?;
            (Some(Label::Class(class.to_owned())), rest)
        }
        NUMBER => {
            let (number, rest) = rest.split_first_chunk().ok_or_else(short)?;
            (Some(Label::Number(f64::from_le_bytes(*number))), rest)
        }
        _ => return Err("a label has a kind that is not known".into()),
    };
    *bytes = rest;
    Ok(label)
}
