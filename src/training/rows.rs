//! The rows that a trainer works on: from memory where they are held, from the stream cache where they are sealed, from the
//! store where not.
//!
//! Memory and disk are bounded by bytes; what is answered never depends on what is held. Segments of the cache are built as
//! the stream fills them, and again when a row of one is asked for that is not there, a few at a time so that no call takes
//! long. Used by one trainer, on its thread.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::environment::Environment;
use super::error::TrainingError;
use super::learner::LearnerRecord;
use crate::stream::cache::{SegmentNumber, StreamCache, StreamIdentity};
use crate::stream::{Correction, Entry, Label, LearnerId, RowCache, Seq, StoredExample};

/// Places asked of the store at once.
const FETCH: usize = 500;
/// Places and corrections read in order at once.
const PAGE: usize = 4_096;
/// Labels read at once.
const LABELS: u64 = 100_000;
/// Segments that one call builds at most; the rows of others are asked of the store.
const BUILDS: usize = 4;

/// A place with its row; `None`: a tombstone.
pub(super) type Place = (Seq, Option<Arc<StoredExample>>);

/// Rows of one learner.
pub(super) struct Rows {
    environment: Arc<Environment>,
    learner: LearnerId,
    memory: RowCache,
    disk: Option<StreamCache>,
    /// Every place up to here is in the store.
    head: Seq,
    /// What is held has every correction up to this number.
    corrections: u64,
}

/// Which learner of which database this is, for its folder of the cache.
pub(super) fn identity(record: &LearnerRecord) -> StreamIdentity {
    let micros = record.created_at.unix_timestamp_nanos().div_euclid(1_000);
    // The years that a timestamp knows fit.
    StreamIdentity { learner: record.id, created_at: i64::try_from(micros).unwrap_or(i64::MAX) }
}

impl Rows {
    /// Nothing in memory yet; what is sound on disk is used. `head`: a place that the stream has.
    pub fn open(environment: &Arc<Environment>, record: &LearnerRecord, head: Seq) -> Result<Self, TrainingError> {
        let config = &environment.config;
        let folder = config.cache_folder.as_deref().filter(|_| config.cache_disk_bytes > 0);
        let cache = |root: &Path| {
            StreamCache::open(root, identity(record), config.cache_disk_bytes, environment.metrics.cache.clone())
        };
        let mut rows = Self {
            environment: environment.clone(),
            learner: record.id,
            memory: RowCache::new(config.cache_bytes),
            disk: folder.map(cache),
            head,
            corrections: 0,
        };
        if rows.disk.is_some() {
            loop {
                let page = rows.corrections_after(rows.corrections)?;
                if page.is_empty() {
                    break;
                }
                rows.correct(&page);
            }
        }
        Ok(rows)
    }

    /// What stands at the places `first..=last`, in order; every place must exist.
    pub fn range(&mut self, first: Seq, last: Seq) -> Result<Vec<Place>, TrainingError> {
        let mut found = Vec::new();
        let mut after = Seq(first.0.saturating_sub(1));
        while after < last {
            let limit = usize::try_from(last.0 - after.0).unwrap_or(PAGE).min(PAGE);
            let entries = self.environment.wait(self.environment.store.read(self.learner, after, limit))?;
            let Some(newest) = entries.last().map(Entry::seq) else {
                return Err(TrainingError::Damaged(format!("the stream ends before {last}")));
            };
            after = newest;
            self.count("store", entries.len());
            found.extend(entries.into_iter().map(|entry| (entry.seq(), entry.into_example().map(Arc::new))));
        }
        for (seq, row) in &found {
            if let Some(row) = row {
                self.memory.insert(*seq, row.clone());
            }
        }
        self.head = self.head.max(last);
        self.seal_behind(first, last)?;
        Ok(found)
    }

    /// The rows at these places, in the order asked for; a place may stand there more than once, and every place must
    /// exist. One that was deleted meanwhile is left out.
    pub fn fetch(&mut self, seqs: &[Seq]) -> Result<Vec<Arc<StoredExample>>, TrainingError> {
        let mut known: BTreeMap<Seq, Option<Arc<StoredExample>>> = BTreeMap::new();
        let mut elsewhere = Vec::new();
        for &seq in seqs {
            match self.memory.get(seq) {
                Some(row) => drop(known.insert(seq, Some(row))),
                None => elsewhere.push(seq),
            }
        }
        self.count("memory", seqs.len() - elsewhere.len());
        elsewhere.sort_unstable();
        elsewhere.dedup();
        let mut builds = BUILDS;
        let mut missing = Vec::new();
        for &seq in &elsewhere {
            match self.sealed(seq, &mut builds)? {
                Some(entry) => self.hold(entry, &mut known),
                None => missing.push(seq),
            }
        }
        self.count("cache", elsewhere.len() - missing.len());
        self.count("store", missing.len());
        for part in missing.chunks(FETCH) {
            for entry in self.environment.wait(self.environment.store.fetch(self.learner, part))? {
                self.hold(entry, &mut known);
            }
        }
        let mut found = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let row =
                known.get(seq).ok_or_else(|| TrainingError::Damaged(format!("the stream has no example {seq}")))?;
            found.extend(row.clone());
        }
        Ok(found)
    }

    /// The labels of some places after this one, at most up to `until`, in order and at least one; none for tombstones.
    pub fn labels(&mut self, after: Seq, until: Seq) -> Result<Vec<(Seq, Option<Label>)>, TrainingError> {
        let first = Seq(after.0 + 1);
        let number = SegmentNumber::of(first);
        let mut last = Seq(until.0.min(after.0 + LABELS));
        if let Some(disk) = &mut self.disk {
            if number.first() == first
                && number.last() <= until
                && let Some(labels) = disk.labels(number)
            {
                return Ok((first.0..).map(Seq).zip(labels).collect());
            }
            // The next segment may be there.
            last = last.min(number.last());
        }
        let labels = self.environment.wait(self.environment.store.labels(self.learner, after, last))?;
        if labels.is_empty() {
            return Err(TrainingError::Damaged(format!("the stream ends before {until}")));
        }
        Ok(labels)
    }

    /// Follows corrections, all that come after those followed before: nothing that is held is older than they are.
    pub fn correct(&mut self, corrections: &[Correction]) {
        for correction in corrections {
            self.memory.remove(correction.seq);
            self.corrections = self.corrections.max(correction.number);
        }
        if let Some(disk) = &mut self.disk {
            disk.correct(corrections);
        }
    }

    /// Forgets everything held in memory.
    pub fn clear(&mut self) {
        self.memory.clear();
    }

    fn hold(&mut self, entry: Entry, known: &mut BTreeMap<Seq, Option<Arc<StoredExample>>>) {
        let seq = entry.seq();
        let row = entry.into_example().map(Arc::new);
        if let Some(row) = &row {
            self.memory.insert(seq, row.clone());
        }
        known.insert(seq, row);
    }

    /// What stands at a place by the stream cache; a segment that is whole and not there is built if `builds` are left.
    fn sealed(&mut self, seq: Seq, builds: &mut usize) -> Result<Option<Entry>, TrainingError> {
        let number = SegmentNumber::of(seq);
        let is_whole = number.last() <= self.head;
        let Some(disk) = self.disk.as_mut().filter(|_| is_whole) else { return Ok(None) };
        if let Some(entry) = disk.entry(seq) {
            return Ok(Some(entry));
        }
        if *builds == 0 {
            return Ok(None);
        }
        *builds -= 1;
        self.build(number)?;
        Ok(self.disk.as_mut().and_then(|disk| disk.entry(seq)))
    }

    /// Builds the segments that were filled by the places `first..=last`.
    fn seal_behind(&mut self, first: Seq, last: Seq) -> Result<(), TrainingError> {
        let mut number = SegmentNumber::of(first);
        while number.last() <= last {
            if self.disk.as_mut().is_some_and(|disk| !disk.is_sealed(number)) {
                self.build(number)?;
            }
            number = SegmentNumber(number.0 + 1);
        }
        Ok(())
    }

    /// Writes a segment. A store that fails is an error, a disk that fails is not.
    fn build(&mut self, number: SegmentNumber) -> Result<(), TrainingError> {
        // Before the rows: what they have beyond these only makes them newer than the file says.
        let corrections = self.newest_correction()?;
        let Some(mut writer) = self.disk.as_mut().and_then(|disk| disk.begin(number, corrections)) else {
            return Ok(());
        };
        let mut after = Seq(number.first().0 - 1);
        while after < number.last() {
            let until = Seq(number.last().0.min(after.0 + FETCH as u64));
            for entry in self.entries(after, until, corrections)? {
                if let Err(error) = writer.push(&entry) {
                    drop(writer);
                    if let Some(disk) = &mut self.disk {
                        disk.failed(&error);
                    }
                    return Ok(());
                }
            }
            after = until;
        }
        if let Some(disk) = &mut self.disk {
            disk.seal(writer);
        }
        Ok(())
    }

    /// What stands at the places after one up to another, with every correction up to this number.
    fn entries(&mut self, after: Seq, until: Seq, corrections: u64) -> Result<Vec<Entry>, TrainingError> {
        // Memory may hold a row that a correction has changed since, until the trainer follows it.
        if corrections == self.corrections {
            let held = (after.0 + 1..=until.0).map(|seq| self.memory.peek(Seq(seq)));
            let held = held.map(|row| row.map(|row| Entry::Example(StoredExample::clone(row))));
            if let Some(entries) = held.collect::<Option<Vec<_>>>() {
                return Ok(entries);
            }
        }
        let limit = usize::try_from(until.0 - after.0).unwrap_or(PAGE);
        let entries = self.environment.wait(self.environment.store.read(self.learner, after, limit))?;
        if entries.last().map(Entry::seq) != Some(until) {
            return Err(TrainingError::Damaged(format!("the stream ends before {until}")));
        }
        Ok(entries)
    }

    /// The number of the stream's newest correction.
    fn newest_correction(&self) -> Result<u64, TrainingError> {
        let mut newest = self.corrections;
        while let Some(last) = self.corrections_after(newest)?.last() {
            newest = last.number;
        }
        Ok(newest)
    }

    fn corrections_after(&self, after: u64) -> Result<Vec<Correction>, TrainingError> {
        self.environment.wait(self.environment.store.corrections(self.learner, after, PAGE))
    }

    fn count(&self, source: &str, rows: usize) {
        if rows > 0 {
            self.environment.metrics.cache.rows.with_label_values(&[source]).inc_by(rows as u64);
        }
    }
}
