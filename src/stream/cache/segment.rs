//! A sealed segment: an immutable file, mapped, and its rows.
//!
//! Nothing is read from a file before its footer and its table have been checked, and no row before its own checksum has.
//! A file that is mapped is never written to nor cut: it is replaced by another of the same name, or removed, and the
//! mapping keeps what it had.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::folder::StreamIdentity;
use super::format::{self, FOOTER, Footer, MAGIC};
use crate::stream::example::{Entry, Label};
use crate::stream::ids::Seq;

/// Places of one segment.
pub const SEGMENT_PLACES: u64 = 4_096;

/// The number of a segment: 0 for the first places of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The segment that a place lies in.
    pub fn of(seq: Seq) -> Self {
        Self(seq.0.saturating_sub(1) / SEGMENT_PLACES)
    }

    /// Its first place.
    pub fn first(self) -> Seq {
        Seq(self.0 * SEGMENT_PLACES + 1)
    }

    /// Its last place.
    pub fn last(self) -> Seq {
        Seq((self.0 + 1) * SEGMENT_PLACES)
    }
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// There is none.
    Missing,
    /// Corrections have come since.
    Stale,
    /// It is not what was written, or of another stream.
    Damaged(String),
    /// It cannot be opened or mapped.
    Failed(std::io::Error),
}

/// A file that was checked and mapped.
#[derive(Debug)]
pub(super) struct Segment {
    map: Mmap,
    footer: Footer,
}

impl Segment {
    /// Maps a file that must hold this segment with every correction up to `corrections`.
    pub fn open(
        path: &Path,
        identity: StreamIdentity,
        number: SegmentNumber,
        corrections: u64,
    ) -> Result<Self, Unusable> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Unusable::Missing),
            Err(error) => return Err(Unusable::Failed(error)),
        };
        // SAFETY: sealed files are immutable. Perennial writes a segment under another name and renames it when it is whole;
        // it never opens a sealed one for writing and never cuts one. Whoever else writes into the folder of the cache
        // breaks what every program that maps files relies on.
        let map = unsafe { Mmap::map(&file) }.map_err(Unusable::Failed)?;
        let footer = checked(&map, identity, number).map_err(|reason| Unusable::Damaged(reason.to_owned()))?;
        if footer.corrections < corrections { Err(Unusable::Stale) } else { Ok(Self { map, footer }) }
    }

    /// What stands at a place of the segment.
    pub fn entry(&self, seq: Seq) -> Result<Entry, String> {
        let index = usize::try_from(seq.0.wrapping_sub(self.footer.first)).unwrap_or(usize::MAX);
        let (from, to) = self.range(index).ok_or_else(|| "a place is outside of the segment".to_owned())?;
        format::read_record(seq, &self.map[from..to])
    }

    /// The labels of all places, in order.
    pub fn labels(&self) -> Result<Vec<Option<Label>>, String> {
        let mut bytes = &self.map[at(self.footer.labels_at)..at(self.footer.table_at)];
        if crc32fast::hash(bytes) != self.footer.labels_crc {
            return Err("its labels are damaged".into());
        }
        let labels = (0..self.footer.places).map(|_| format::read_label(&mut bytes)).collect::<Result<Vec<_>, _>>()?;
        if bytes.is_empty() { Ok(labels) } else { Err("there are more labels than places".into()) }
    }

    fn range(&self, index: usize) -> Option<(usize, usize)> {
        let table = &self.map[at(self.footer.table_at)..self.map.len() - FOOTER];
        let offset = |index: usize| -> Option<usize> {
            let bytes = table.get(8 * index..8 * index + 8)?;
            usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        Some((offset(index)?, offset(index.checked_add(1)?)?))
    }
}

/// The footer of a file, if it and the table are sound and the file is of this segment.
fn checked(bytes: &[u8], identity: StreamIdentity, number: SegmentNumber) -> Result<Footer, &'static str> {
    let (content, footer) = bytes.split_last_chunk::<FOOTER>().ok_or("it is too short")?;
    let footer = Footer::from_bytes(footer)?;
    if !content.starts_with(&MAGIC) {
        return Err("it does not begin as a segment does");
    }
    if (footer.learner, footer.created_at) != (identity.learner.0, identity.created_at) {
        return Err("it is of another learner");
    }
    if footer.first != number.first().0 || u64::from(footer.places) != SEGMENT_PLACES {
        return Err("it is of other places");
    }
    let table_bytes = 8 * (u64::from(footer.places) + 1);
    let begins_right = footer.labels_at >= MAGIC.len() as u64 && footer.labels_at <= footer.table_at;
    if !begins_right || footer.table_at.checked_add(table_bytes) != Some(content.len() as u64) {
        return Err("its parts do not fit its length");
    }
    let table = &content[at(footer.table_at)..];
    if crc32fast::hash(table) != footer.table_crc {
        return Err("its table is damaged");
    }
    let (offsets, _) = table.as_chunks::<8>();
    let mut before = MAGIC.len() as u64;
    for offset in offsets {
        let offset = u64::from_le_bytes(*offset);
        if offset < before || offset > footer.labels_at {
            return Err("its table is out of order");
        }
        before = offset;
    }
    Ok(footer)
}

/// A place in a file that was checked to lie within its length.
fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset within a mapped file fits into memory")
}
