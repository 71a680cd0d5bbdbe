//! Writing a segment: under a name of its own, row by row, and only when it is whole and synced under its real name.
//!
//! What was broken off leaves at most a file that no one reads. Two processes that write the same segment write the same
//! rows; the later rename stays.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::folder::StreamIdentity;
use super::format::{FOOTER, Footer, MAGIC, write_label, write_record};
use super::segment::{SEGMENT_PLACES, SegmentNumber};
use crate::stream::example::Entry;

/// A segment that is being written.
#[derive(Debug)]
pub struct SegmentWriter {
    number: SegmentNumber,
    identity: StreamIdentity,
    corrections: u64,
    file: BufWriter<File>,
    temporary: PathBuf,
    at: u64,
    offsets: Vec<u64>,
    labels: Vec<u8>,
    record: Vec<u8>,
    is_sealed: bool,
}

impl SegmentWriter {
    /// Begins a segment. `corrections`: the rows that come have every correction up to this number.
    pub(super) fn begin(
        folder: &Path,
        identity: StreamIdentity,
        number: SegmentNumber,
        corrections: u64,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!("{}.{}", uuid::Uuid::new_v4(), super::folder::TEMPORARY));
        let mut file = BufWriter::with_capacity(1 << 18, File::create_new(&temporary)?);
        file.write_all(&MAGIC)?;
        let at = MAGIC.len() as u64;
        Ok(Self {
            number,
            identity,
            corrections,
            file,
            temporary,
            at,
            offsets: vec![at],
            labels: Vec::new(),
            record: Vec::new(),
            is_sealed: false,
        })
    }

    /// Writes what stands at the next place.
    pub fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let expected = self.number.first().0 + self.offsets.len() as u64 - 1;
        if entry.seq().0 != expected {
            return Err(io::Error::other(format!("place {} came where {expected} belongs", entry.seq())));
        }
        self.record.clear();
        write_record(entry, &mut self.record);
        write_label(entry.example().map(|example| &example.label), &mut self.labels);
        self.file.write_all(&self.record)?;
        self.at += self.record.len() as u64;
        self.offsets.push(self.at);
        Ok(())
    }

    /// Which segment it is.
    pub(super) fn number(&self) -> SegmentNumber {
        self.number
    }

    /// How long the file will be.
    pub(super) fn length(&self) -> u64 {
        self.at + (self.labels.len() + 8 * self.offsets.len() + FOOTER) as u64
    }

    /// Writes the rest, syncs the file and gives it its name.
    pub(super) fn seal(mut self, path: &Path) -> io::Result<()> {
        if self.offsets.len() as u64 != SEGMENT_PLACES + 1 {
            return Err(io::Error::other("the segment has not all of its places"));
        }
        let table: Vec<u8> = self.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let footer = Footer {
            learner: self.identity.learner.0,
            created_at: self.identity.created_at,
            first: self.number.first().0,
            places: u32::try_from(SEGMENT_PLACES).expect("a small constant"),
            corrections: self.corrections,
            labels_at: self.at,
            table_at: self.at + self.labels.len() as u64,
            labels_crc: crc32fast::hash(&self.labels),
            table_crc: crc32fast::hash(&table),
        };
        self.file.write_all(&self.labels)?;
        self.file.write_all(&table)?;
        self.file.write_all(&footer.to_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.temporary, path)?;
        self.is_sealed = true;
        // The name too must survive a power cut; where a folder cannot be synced the segment is built again.
        if let Some(Ok(folder)) = path.parent().map(File::open) {
            drop(folder.sync_all());
        }
        Ok(())
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.is_sealed {
            // What cannot be removed now is removed when the folder is next opened.
            drop(fs::remove_file(&self.temporary));
        }
    }
}
