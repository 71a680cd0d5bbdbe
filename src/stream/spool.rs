//! The spool: the rows of one request on their way from its body to the writer, in bounded memory.
//!
//! Rows stay in memory as long as they are few. Then all of them go to a file that has no name from the moment it exists, so
//! that nothing is left of it whatever happens to the process. Rows are read back in order, in parts, and again from any row
//! that a part began with. Called by the intake, on threads that may block.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::example::{EncodedExample, Label};

/// Where and how large a spool may be.
#[derive(Debug, Clone)]
pub struct SpoolLimits {
    /// The folder of its file.
    pub folder: PathBuf,
    /// Bytes of rows in memory; more of them go to the file.
    pub memory: usize,
    /// Bytes of rows altogether.
    pub bytes: u64,
}

/// Why a row cannot be spooled, or not read back.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The rows take more room than they may.
    #[error("the rows of the body take more than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The disk is full.
    #[error("there is no room on the disk for the rows of the body")]
    Full,
    /// The file cannot be made, written or read; the text is for the log.
    #[error("the spool file: {0}")]
    Failed(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error),
        }
    }
}

/// A row and its number in the body.
pub type SpooledRow = (u64, EncodedExample);

/// How much of a spool is read at once.
#[derive(Debug, Clone, Copy)]
pub struct PartSize {
    /// Row numbers that it spans at most, from its first row on.
    pub rows: u64,
    /// Bytes of rows; a larger row is a part of its own.
    pub bytes: usize,
}

/// The rows of one request.
pub struct Spool {
    limits: SpoolLimits,
    bytes: u64,
    rows: u64,
    held: Held,
}

enum Held {
    Memory(Vec<SpooledRow>),
    File(BufWriter<File>),
}

impl Spool {
    /// An empty one.
    pub fn new(limits: SpoolLimits) -> Self {
        Self { limits, bytes: 0, rows: 0, held: Held::Memory(Vec::new()) }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes of memory its rows would take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        match &self.held {
            Held::Memory(_) => usize::try_from(self.bytes).unwrap_or(usize::MAX),
            Held::File(writer) => writer.capacity(),
        }
    }

    /// Adds a row. Row numbers rise.
    pub fn push(&mut self, row: u64, example: EncodedExample) -> Result<(), SpoolError> {
        self.bytes += example.weight() as u64;
        if self.bytes > self.limits.bytes {
            return Err(SpoolError::TooLarge { limit: self.limits.bytes });
        }
        self.rows += 1;
        match &mut self.held {
            Held::File(file) => write(file, row, &example)?,
            Held::Memory(rows) => {
                rows.push((row, example));
                if self.bytes > self.limits.memory as u64 {
                    let mut file = BufWriter::with_capacity(256 << 10, nameless(&self.limits.folder)?);
                    for (row, example) in rows.drain(..) {
                        write(&mut file, row, &example)?;
                    }
                    self.held = Held::File(file);
                }
            }
        }
        Ok(())
    }

    /// Ends the writing: the rows can be read.
    pub fn into_reader(self, times: Times) -> Result<SpoolReader, SpoolError> {
        let source = match (self.held, times) {
            (Held::Memory(rows), Times::Once) => Source::Memory(rows.into()),
            (Held::Memory(rows), Times::Again) => Source::Kept { rows, at: 0 },
            (Held::File(writer), _) => {
                let mut file = writer.into_inner().map_err(|error| error.into_error())?;
                let end = file.stream_position()?;
                file.seek(SeekFrom::Start(0))?;
                Source::File { reader: BufReader::with_capacity(256 << 10, file), at: 0, end }
            }
        };
        Ok(SpoolReader { source, next: None, part: 0 })
    }
}

/// Whether a part may be wanted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// No: what is read from memory is moved.
    Once,
    /// Yes.
    Again,
}

/// Reads the rows of a spool back.
pub struct SpoolReader {
    source: Source,
    /// A row that was read and belongs to the next part.
    next: Option<(u64, SpooledRow)>,
    /// Where the last part began.
    part: u64,
}

enum Source {
    Memory(VecDeque<SpooledRow>),
    Kept { rows: Vec<SpooledRow>, at: usize },
    File { reader: BufReader<File>, at: u64, end: u64 },
}

impl SpoolReader {
    /// The rows of the next part, whose numbers are from `first` on; empty at the end.
    pub fn part(&mut self, first: u64, size: PartSize) -> Result<Vec<SpooledRow>, SpoolError> {
        let mut rows: Vec<SpooledRow> = Vec::new();
        let mut bytes = 0;
        while let Some((place, (row, example))) = self.take()? {
            if row < first {
                continue;
            }
            let weight = example.weight();
            match rows.first() {
                None => self.part = place,
                Some((begin, _)) if row - begin >= size.rows || bytes + weight > size.bytes => {
                    self.next = Some((place, (row, example)));
                    break;
                }
                Some(_) => {}
            }
            bytes += weight;
            rows.push((row, example));
        }
        Ok(rows)
    }

    /// Whether reading blocks on no file.
    pub fn is_in_memory(&self) -> bool {
        !matches!(self.source, Source::File { .. })
    }

    /// Whether everything was read.
    pub fn is_at_end(&mut self) -> Result<bool, SpoolError> {
        if self.next.is_none() {
            self.next = self.take()?;
        }
        Ok(self.next.is_none())
    }

    /// Goes back to where the last part began.
    ///
    /// # Errors
    /// The rows were to be read once.
    pub fn again(&mut self) -> Result<(), SpoolError> {
        self.next = None;
        match &mut self.source {
            Source::Memory(_) => return Err(io::Error::other("rows that are read once cannot be read again").into()),
            Source::Kept { at, .. } => *at = usize::try_from(self.part).map_err(io::Error::other)?,
            Source::File { reader, at, .. } => {
                reader.seek(SeekFrom::Start(self.part))?;
                *at = self.part;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<(u64, SpooledRow)>, SpoolError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        match &mut self.source {
            Source::Memory(rows) => Ok(rows.pop_front().map(|row| (0, row))),
            Source::Kept { rows, at } => {
                let row = rows.get(*at).map(|row| (*at as u64, row.clone()));
                *at += usize::from(row.is_some());
                Ok(row)
            }
            Source::File { reader, at, end } => {
                let place = *at;
                if place >= *end {
                    return Ok(None);
                }
                let (row, length) = read(reader)?;
                *at += length;
                Ok(Some((place, row)))
            }
        }
    }
}

/// A file that is not in its folder any more.
fn nameless(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{PREFIX}{}", uuid::Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    match fs::remove_file(&path) {
        // Another process that starts has swept it.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(file),
    }
}

const PREFIX: &str = "spool-";

/// Removes what a process left that died between making a file and taking its name away.
pub fn sweep(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The fixed part of a row in the file: its number, the kind of its label, and the lengths of id, label and row.
const HEAD: usize = 8 + 1 + 4 + 4 + 8;

const NO_ID: u32 = u32::MAX;

fn write(file: &mut BufWriter<File>, row: u64, example: &EncodedExample) -> io::Result<()> {
    let (kind, label): (u8, &[u8]) = match &example.label {
        Label::Class(class) => (0, class.as_bytes()),
        Label::Number(number) => (1, &number.to_le_bytes()),
    };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    let id = example.id.as_ref().map_or(Ok(NO_ID), |id| length(id.as_bytes()))?;
    file.write_all(&row.to_le_bytes())?;
    file.write_all(&[kind])?;
    file.write_all(&id.to_le_bytes())?;
    file.write_all(&length(label)?.to_le_bytes())?;
    file.write_all(&(example.row.len() as u64).to_le_bytes())?;
    file.write_all(example.id.as_deref().unwrap_or_default().as_bytes())?;
    file.write_all(label)?;
    file.write_all(&example.row)
}

/// The next row and how many bytes it takes in the file.
fn read(file: &mut BufReader<File>) -> io::Result<(SpooledRow, u64)> {
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let mut part = |length: u64| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(io::Error::other);
    let (id, label, row) = (word(9), word(13), long(17));
    let id_length = if id == NO_ID { 0 } else { u64::from(id) };
    let id_text = text(part(id_length)?)?;
    let label_bytes = part(label.into())?;
    let label_value = match head[8] {
        0 => Label::Class(text(label_bytes)?),
        _ => Label::Number(f64::from_le_bytes(label_bytes.try_into().map_err(|_| io::ErrorKind::InvalidData)?)),
    };
    let length = HEAD as u64 + id_length + u64::from(label) + row;
    let example = EncodedExample { id: (id != NO_ID).then_some(id_text), label: label_value, row: part(row)? };
    Ok(((long(0), example), length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(folder: &Path, memory: usize) -> SpoolLimits {
        SpoolLimits { folder: folder.to_owned(), memory, bytes: 1 << 20 }
    }

    fn example() -> impl Strategy<Value = EncodedExample> {
        let label = prop_oneof![".{0,9}".prop_map(Label::Class), (-1e9..1e9).prop_map(Label::Number)];
        let row = prop::collection::vec(any::<u8>(), 0..60);
        (prop::option::of(".{0,9}"), label, row).prop_map(|(id, label, row)| EncodedExample { id, label, row })
    }

    fn all(reader: &mut SpoolReader, size: PartSize) -> Vec<Vec<SpooledRow>> {
        let mut parts: Vec<Vec<SpooledRow>> = Vec::new();
        loop {
            let first = parts.last().and_then(|part| part.last()).map_or(0, |(row, _)| row + 1);
            let part = reader.part(first, size).unwrap();
            if part.is_empty() {
                return parts;
            }
            parts.push(part);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_come_back_in_order_whether_they_went_through_memory_or_a_file(
            examples in prop::collection::vec((example(), 1u64..4), 0..40),
            memory in 0usize..4_000,
            rows in 1u64..12,
            bytes in 1usize..2_000,
            again in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = Spool::new(limits(folder.path(), memory));
            let mut expected = Vec::new();
            let mut row = 0;
            for (example, step) in examples {
                row += step;
                spool.push(row, example.clone()).unwrap();
                expected.push((row, example));
            }
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file has a name");
            let times = if again { Times::Again } else { Times::Once };
            let mut reader = spool.into_reader(times).unwrap();
            let parts = all(&mut reader, PartSize { rows, bytes });
            for part in &parts {
                let weight: usize = part.iter().map(|(_, example)| example.weight()).sum();
                prop_assert!(part.len() == 1 || weight <= bytes);
                prop_assert!(part.len() as u64 <= rows);
            }
            prop_assert_eq!(parts.concat(), expected);
            prop_assert!(reader.is_at_end().unwrap());
        }
    }

    #[test]
    fn a_part_can_be_read_again_in_other_sizes() {
        let folder = tempfile::tempdir().unwrap();
        for memory in [0, usize::MAX] {
            let mut spool = Spool::new(limits(folder.path(), memory));
            for row in 0..10 {
                let example = EncodedExample { id: None, label: Label::Number(0.0), row: vec![row as u8] };
                spool.push(row, example).unwrap();
            }
            let mut reader = spool.into_reader(Times::Again).unwrap();
            let numbers = |part: Vec<SpooledRow>| part.into_iter().map(|(row, _)| row).collect::<Vec<_>>();
            let size = |rows| PartSize { rows, bytes: usize::MAX };
            assert_eq!(numbers(reader.part(0, size(2)).unwrap()), [0, 1]);
            assert_eq!(numbers(reader.part(2, size(5)).unwrap()), [2, 3, 4, 5, 6]);
            reader.again().unwrap();
            assert_eq!(numbers(reader.part(4, size(2)).unwrap()), [4, 5], "the first were stored before");
            assert_eq!(numbers(reader.part(6, size(9)).unwrap()), [6, 7, 8, 9]);
            assert!(reader.is_at_end().unwrap());
        }
    }

    #[test]
    fn rows_beyond_the_limit_are_refused_and_leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(limits(folder.path(), 100));
        let row = EncodedExample { id: None, label: Label::Number(0.0), row: vec![0; 600_000] };
        spool.push(0, row.clone()).unwrap();
        assert!(matches!(spool.push(1, row), Err(SpoolError::TooLarge { .. })));
        std::fs::write(folder.path().join("spool-left"), "x").unwrap();
        std::fs::write(folder.path().join("other"), "x").unwrap();
        sweep(folder.path()).unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["other"]);
        sweep(&folder.path().join("nowhere")).unwrap();
    }
}
