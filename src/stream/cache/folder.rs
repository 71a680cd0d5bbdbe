//! A learner's folder of sealed segments.
//!
//! A segment is used only if it is sound, of this learner, and as new as the newest correction of one of its places; any
//! other is removed and counted, and its places are read from the store until it is built again. Bounded: in bytes on disk
//! (no segment is added beyond them) and in maps (the one opened first is closed first).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::segment::{Segment, SegmentNumber, Unusable};
use super::writer::SegmentWriter;
use crate::metrics::CacheMetrics;
use crate::stream::correction::Correction;
use crate::stream::example::{Entry, Label};
use crate::stream::ids::{LearnerId, Seq};

/// The ending of a file that is being written.
pub(super) const TEMPORARY: &str = "tmp";
/// The ending of a sealed one.
const SEALED: &str = "segment";
/// Maps of one learner: eight trainers in memory stay well below the 65,530 maps that Linux allows a process.
const MOST_MAPS: usize = 4_096;
/// After this long a file that is still being written was left behind.
const ABANDONED: Duration = Duration::from_secs(3_600);
/// How long nothing is written after a write failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Which stream the rows are of: numbers of learners are unique within one database only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIdentity {
    /// The learner.
    pub learner: LearnerId,
    /// When it was created, in microseconds since 1970.
    pub created_at: i64,
}

/// The segments of one learner.
#[derive(Debug)]
pub struct StreamCache {
    folder: PathBuf,
    identity: StreamIdentity,
    /// Bytes that the files may take, and those that they take.
    limit: u64,
    used: u64,
    maps: HashMap<SegmentNumber, Segment>,
    /// The maps in the order in which they were opened.
    opened: VecDeque<SegmentNumber>,
    /// Segments that have no usable file.
    missing: HashSet<SegmentNumber>,
    /// The newest correction of a place of each segment.
    corrected: BTreeMap<SegmentNumber, u64>,
    /// Nothing is written before.
    paused: Option<Instant>,
    metrics: CacheMetrics,
}

impl StreamCache {
    /// The cache of a learner below `root`, of at most `limit` bytes. Nothing of it may be used before all corrections that
    /// the stream has were handed to [`StreamCache::correct`].
    pub fn open(root: &Path, identity: StreamIdentity, limit: u64, metrics: CacheMetrics) -> Self {
        let folder = root.join(folder_name(identity));
        let mut used = 0;
        for (path, length) in files(&folder) {
            if path.extension().is_some_and(|ending| ending == TEMPORARY) {
                remove_abandoned(&path);
            } else {
                used += length;
            }
        }
        Self {
            folder,
            identity,
            limit,
            used,
            maps: HashMap::new(),
            opened: VecDeque::new(),
            missing: HashSet::new(),
            corrected: BTreeMap::new(),
            paused: None,
            metrics,
        }
    }

    /// Takes note of corrections: files that do not have them are not used, and their values leave the disk now.
    pub fn correct(&mut self, corrections: &[Correction]) {
        let mut touched = HashSet::new();
        for correction in corrections {
            let number = SegmentNumber::of(correction.seq);
            let newest = self.corrected.entry(number).or_default();
            *newest = (*newest).max(correction.number);
            touched.insert(number);
        }
        for number in touched {
            self.forget(number);
            // Opening looks whether the file is new enough, and removes it if not.
            self.is_sealed(number);
        }
    }

    /// Whether a segment is there and can be read.
    pub fn is_sealed(&mut self, number: SegmentNumber) -> bool {
        self.segment(number).is_some()
    }

    /// What stands at a place; `None`: the store has to be asked.
    pub fn entry(&mut self, seq: Seq) -> Option<Entry> {
        let number = SegmentNumber::of(seq);
        let read = self.segment(number)?.entry(seq);
        read.map_err(|reason| self.damaged(number, &reason)).ok()
    }

    /// The labels of a segment; `None`: the store has to be asked.
    pub fn labels(&mut self, number: SegmentNumber) -> Option<Vec<Option<Label>>> {
        let read = self.segment(number)?.labels();
        read.map_err(|reason| self.damaged(number, &reason)).ok()
    }

    /// Begins a segment from rows that have every correction up to a number; `None` where nothing more may be written, or
    /// not now.
    pub fn begin(&mut self, number: SegmentNumber, corrections: u64) -> Option<SegmentWriter> {
        if self.used >= self.limit || self.paused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        match SegmentWriter::begin(&self.folder, self.identity, number, corrections) {
            Ok(writer) => Some(writer),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Gives a segment that is whole its name, if there is room for it.
    pub fn seal(&mut self, writer: SegmentWriter) {
        let (number, length) = (writer.number(), writer.length());
        if self.used.saturating_add(length) > self.limit {
            self.used = self.limit;
            tracing::info!(learner = self.identity.learner.0, limit = self.limit, "the stream cache is full");
            return;
        }
        match writer.seal(&self.path(number)) {
            Ok(()) => {
                self.used += length;
                self.missing.remove(&number);
                self.metrics.segments.with_label_values(&["built"]).inc();
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Writing failed: the stream goes on without these files, and they are tried again later.
    pub fn failed(&mut self, error: &io::Error) {
        self.metrics.segments.with_label_values(&["failed"]).inc();
        tracing::warn!(learner = self.identity.learner.0, %error, "a segment of the stream cache cannot be written");
        self.paused = Some(Instant::now() + PAUSE);
    }

    fn segment(&mut self, number: SegmentNumber) -> Option<&Segment> {
        if !self.maps.contains_key(&number) {
            if self.missing.contains(&number) {
                return None;
            }
            let newest = self.corrected.get(&number).copied().unwrap_or(0);
            match Segment::open(&self.path(number), self.identity, number, newest) {
                Ok(segment) => self.keep(number, segment),
                Err(Unusable::Missing) => {
                    self.missing.insert(number);
                    return None;
                }
                Err(Unusable::Stale) => {
                    self.remove(number, "stale");
                    return None;
                }
                Err(Unusable::Damaged(reason)) => {
                    self.damaged(number, &reason);
                    return None;
                }
                Err(Unusable::Failed(error)) => {
                    self.missing.insert(number);
                    self.failed(&error);
                    return None;
                }
            }
        }
        self.maps.get(&number)
    }

    fn keep(&mut self, number: SegmentNumber, segment: Segment) {
        if self.maps.len() >= MOST_MAPS
            && let Some(oldest) = self.opened.pop_front()
        {
            self.maps.remove(&oldest);
        }
        self.maps.insert(number, segment);
        self.opened.push_back(number);
    }

    fn damaged(&mut self, number: SegmentNumber, reason: &str) {
        tracing::warn!(
            learner = self.identity.learner.0,
            segment = number.0,
            reason,
            "a segment of the stream cache is damaged: it is built again"
        );
        self.remove(number, "damaged");
    }

    /// Takes a file that is not to be used out of the folder.
    fn remove(&mut self, number: SegmentNumber, outcome: &str) {
        self.metrics.segments.with_label_values(&[outcome]).inc();
        self.forget(number);
        let path = self.path(number);
        let length = fs::metadata(&path).map_or(0, |found| found.len());
        match fs::remove_file(&path) {
            Ok(()) => self.used = self.used.saturating_sub(length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed(&error),
        }
        self.missing.insert(number);
    }

    fn forget(&mut self, number: SegmentNumber) {
        if self.maps.remove(&number).is_some() {
            self.opened.retain(|&opened| opened != number);
        }
        self.missing.remove(&number);
    }

    fn path(&self, number: SegmentNumber) -> PathBuf {
        self.folder.join(format!("{:012}.{SEALED}", number.0))
    }
}

/// Removes everything that is cached of a learner below `root`.
pub fn remove_learner(root: &Path, learner: LearnerId) {
    for (path, owner) in folders(root) {
        if owner == learner {
            remove_folder(&path);
        }
    }
}

/// Removes everything that is cached of learners that are none of these.
pub fn sweep(root: &Path, known: &[StreamIdentity]) {
    let names: HashSet<String> = known.iter().map(|identity| folder_name(*identity)).collect();
    for (path, _) in folders(root) {
        if path.file_name().is_none_or(|name| !names.contains(&*name.to_string_lossy())) {
            remove_folder(&path);
        }
    }
}

fn folder_name(identity: StreamIdentity) -> String {
    format!("{}-{}", identity.learner.0, identity.created_at)
}

/// The folders of learners below `root`; what is named otherwise is left alone.
fn folders(root: &Path) -> Vec<(PathBuf, LearnerId)> {
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let (learner, created_at) = name.split_once('-')?;
        created_at.parse::<i64>().ok()?;
        Some((path, LearnerId(learner.parse().ok()?)))
    };
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries.filter_map(|entry| named(entry.ok()?.path())).collect()
}

fn remove_folder(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a folder of the stream cache cannot be removed");
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let sized = |entry: fs::DirEntry| Some((entry.path(), entry.metadata().ok()?.len()));
    entries.filter_map(|entry| sized(entry.ok()?)).collect()
}

fn remove_abandoned(path: &Path) {
    let age = fs::metadata(path).and_then(|found| found.modified()).map(|at| at.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age > ABANDONED) {
        drop(fs::remove_file(path));
    }
}
