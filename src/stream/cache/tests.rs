//! What the stream cache promises: a row that it gives is the row that was stored, whatever became of its files.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::metrics::{CacheMetrics, Metrics};
use crate::stream::correction::{Correction, CorrectionKind};
use crate::stream::example::{Entry, Label, Pixels, StoredExample, Value};
use crate::stream::ids::{LearnerId, Seq};

const FIRST: SegmentNumber = SegmentNumber(0);
const SECOND: SegmentNumber = SegmentNumber(1);
const IDENTITY: StreamIdentity = StreamIdentity { learner: LearnerId(7), created_at: 1_700_000_000_000_000 };
const PLENTY: u64 = 1 << 30;

struct Bench {
    folder: TempDir,
    metrics: CacheMetrics,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), metrics: Metrics::new().training.cache }
    }

    fn open(&self) -> StreamCache {
        self.open_as(IDENTITY, PLENTY)
    }

    fn open_as(&self, identity: StreamIdentity, limit: u64) -> StreamCache {
        StreamCache::open(self.folder.path(), identity, limit, self.metrics.clone())
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
        files.sort();
        files
    }

    fn outcome(&self, outcome: &str) -> u64 {
        self.metrics.segments.with_label_values(&[outcome]).get()
    }
}

/// A row of every kind of value; every seventh place is a tombstone.
fn entry(seq: u64) -> Entry {
    if seq.is_multiple_of(7) {
        return Entry::Deleted(Seq(seq));
    }
    let row = match seq % 3 {
        0 => vec![Value::Number(seq as f64 * 0.1), Value::Missing, Value::Category(format!("färbe {seq}"))],
        1 => vec![Value::Vector(vec![seq as f32, -0.5])],
        _ => vec![Value::Image(Pixels::Bytes(vec![seq as u8; 9])), Value::Image(Pixels::Floats(vec![0.25]))],
    };
    let label = if seq.is_multiple_of(2) { Label::Class(format!("{}", seq % 10)) } else { Label::Number(seq as f64) };
    Entry::Example(StoredExample { seq: Seq(seq), id: None, row, label })
}

fn build(cache: &mut StreamCache, number: SegmentNumber, corrections: u64) {
    let mut writer = cache.begin(number, corrections).expect("there is room");
    (number.first().0..=number.last().0).for_each(|seq| writer.push(&entry(seq)).unwrap());
    cache.seal(writer);
}

fn correction(number: u64, seq: u64) -> Correction {
    Correction { number, seq: Seq(seq), kind: CorrectionKind::Deleted, at: OffsetDateTime::UNIX_EPOCH }
}

#[test]
fn a_sealed_segment_gives_back_every_row_label_and_tombstone() {
    let bench = Bench::new();
    build(&mut bench.open(), SECOND, 0);
    let mut cache = bench.open();
    assert!(!cache.is_sealed(FIRST) && cache.is_sealed(SECOND));
    assert_eq!(cache.entry(Seq(1)), None);
    for seq in SECOND.first().0..=SECOND.last().0 {
        assert_eq!(cache.entry(Seq(seq)), Some(entry(seq)));
    }
    let labels = cache.labels(SECOND).unwrap();
    let expected = (SECOND.first().0..=SECOND.last().0).map(|seq| entry(seq).example().map(|row| row.label.clone()));
    assert_eq!(labels, expected.collect::<Vec<_>>());
    assert_eq!((bench.files().len(), bench.outcome("built")), (1, 1));
}

#[test]
fn a_segment_that_was_broken_off_leaves_nothing() {
    let bench = Bench::new();
    let mut cache = bench.open();
    let mut writer = cache.begin(FIRST, 0).unwrap();
    writer.push(&entry(1)).unwrap();
    assert!(writer.push(&entry(3)).is_err(), "no place is left out");
    cache.seal(writer);
    assert!(!cache.is_sealed(FIRST));
    assert_eq!((bench.files().len(), bench.outcome("failed")), (0, 1));
    assert!(cache.begin(FIRST, 0).is_none(), "a disk that failed is left alone for a while");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_damaged_segment_gives_what_was_stored_or_nothing(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bench = Bench::new();
        build(&mut bench.open(), FIRST, 0);
        let file = bench.files().pop().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&file, &bytes).unwrap();
        let mut cache = bench.open();
        for seq in 1..=FIRST.last().0 {
            match cache.entry(Seq(seq)) {
                Some(found) => prop_assert_eq!(found, entry(seq)),
                None => break,
            }
        }
        if let Some(labels) = cache.labels(FIRST) {
            let expected = (1..=FIRST.last().0).map(|seq| entry(seq).example().map(|row| row.label.clone()));
            prop_assert_eq!(labels, expected.collect::<Vec<_>>());
        }
        if cache.is_sealed(FIRST) {
            // Only the zeros that fill up the footer are never looked at.
            prop_assert!(at >= bytes.len() - 4, "byte {} of {}", at, bytes.len());
        } else {
            prop_assert_eq!((bench.files().len(), bench.outcome("damaged")), (0, 1));
            build(&mut cache, FIRST, 0);
            prop_assert_eq!(cache.entry(Seq(1)), Some(entry(1)));
        }
    }

    #[test]
    fn a_segment_that_was_cut_is_not_used(length in any::<prop::sample::Index>()) {
        let bench = Bench::new();
        build(&mut bench.open(), FIRST, 0);
        let file = bench.files().pop().unwrap();
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..length.index(bytes.len())]).unwrap();
        let mut cache = bench.open();
        prop_assert!(!cache.is_sealed(FIRST));
        prop_assert_eq!(cache.entry(Seq(1)), None);
    }
}

#[test]
fn a_segment_of_another_learner_or_of_other_places_is_not_used() {
    let bench = Bench::new();
    build(&mut bench.open(), FIRST, 0);
    let file = bench.files().pop().unwrap();
    fs::copy(&file, file.with_file_name("000000000001.segment")).unwrap();
    assert!(!bench.open().is_sealed(SECOND));
    let other = StreamIdentity { created_at: IDENTITY.created_at + 1, ..IDENTITY };
    build(&mut bench.open_as(other, PLENTY), FIRST, 0);
    let theirs = bench.files().into_iter().find(|path| *path != file).unwrap();
    fs::copy(theirs, &file).unwrap();
    assert!(!bench.open().is_sealed(FIRST));
    assert_eq!(bench.outcome("damaged"), 2);
}

#[test]
fn a_correction_takes_the_file_that_does_not_have_it() {
    let bench = Bench::new();
    let mut cache = bench.open();
    build(&mut cache, FIRST, 4);
    build(&mut cache, SECOND, 4);
    cache.correct(&[correction(3, 1), correction(4, SECOND.first().0)]);
    assert!(cache.is_sealed(FIRST) && cache.is_sealed(SECOND), "they were built from corrected rows");
    cache.correct(&[correction(5, 2)]);
    assert!(!cache.is_sealed(FIRST) && cache.is_sealed(SECOND));
    assert_eq!((bench.files().len(), bench.outcome("stale")), (1, 1), "the values left the disk");
    // The same for files that another process left.
    let mut cache = bench.open();
    cache.correct(&[correction(5, 2), correction(6, SECOND.last().0)]);
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
    build(&mut cache, SECOND, 6);
    assert!(cache.is_sealed(SECOND));
}

#[test]
fn the_bytes_on_disk_are_bounded() {
    let bench = Bench::new();
    let mut cache = bench.open();
    build(&mut cache, FIRST, 0);
    let length = fs::metadata(&bench.files()[0]).unwrap().len();
    let mut cache = bench.open_as(IDENTITY, length + length / 2);
    build(&mut cache, SECOND, 0);
    assert!(cache.is_sealed(FIRST) && !cache.is_sealed(SECOND));
    assert!(cache.begin(SECOND, 0).is_none(), "nothing more is written");
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn a_deleted_learners_folder_goes_and_strange_ones_stay() {
    let bench = Bench::new();
    let other = StreamIdentity { learner: LearnerId(8), ..IDENTITY };
    build(&mut bench.open(), FIRST, 0);
    build(&mut bench.open_as(other, PLENTY), FIRST, 0);
    fs::create_dir(bench.folder.path().join("something else")).unwrap();
    sweep(bench.folder.path(), &[IDENTITY, other]);
    assert_eq!(bench.files().len(), 2);
    remove_learner(bench.folder.path(), LearnerId(7));
    assert!(!bench.open().is_sealed(FIRST) && bench.open_as(other, PLENTY).is_sealed(FIRST));
    sweep(bench.folder.path(), &[IDENTITY]);
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
    assert!(bench.folder.path().join("something else").exists());
}
