//! From the examples of a whole body to their places in the stream.
//!
//! A body within `ingest.commit_examples` and `ingest.commit_bytes`, and every JSON document, is one append: all of it or nothing.
//! A longer one is several, one after the other; between them other requests' examples may find their places. Each of them is
//! appended under a key of its own, derived from the request's key, and its answer says how far it reaches. So whoever sends the
//! request again skips what is stored, also if it was cut in other places then.

use std::time::Duration;

use serde_json::json;

use super::activity::Activity;
use super::ingest_counts;
use super::problem::{Kind, Problem};
use super::state::AppState;
use super::unbroken::off_runtime;
use crate::stream::intake::{Harvest, Rejections};
use crate::stream::spool::{PartSize, SpoolReader, SpooledRow, Times};
use crate::stream::writer::Room;
use crate::stream::{Append, Appended, Covered, Existing, IdempotencyKey, LearnerId, LearnerName, Outcomes, Seq};

/// A part of memory that is read without a change of threads.
const INLINE: usize = 1 << 10;

/// What a request wants of its examples.
pub struct Order {
    /// Whose stream.
    pub learner: LearnerId,
    /// Its name, for metrics.
    pub name: LearnerName,
    /// The request's key, if it has one.
    pub key: Option<String>,
    /// What happens to an example whose id is there already.
    pub existing: Existing,
    /// Whether the body may be more than one append.
    pub size: PartSize,
    /// What keeps the client's connection open.
    pub activity: Option<Activity>,
}

/// What became of a whole request.
#[derive(Debug, Default)]
pub struct Stored {
    /// The sum of all appends.
    pub accepted: u64,
    /// The sum of all appends.
    pub duplicates: u64,
    /// The sum of all appends.
    pub replaced: u64,
    /// The first new place.
    pub first: Option<Seq>,
    /// The last new place.
    pub last: Option<Seq>,
    /// The newest place after the last append.
    pub head: Seq,
    /// What was not taken: as it was said at first, if the request was answered before.
    pub rejections: Rejections,
    /// What became of each example, in order, and how many rows the body had, if all of it was one append.
    pub outcomes: Option<Outcomes>,
}

/// Appends everything. It must run to its end also if the client goes away.
///
/// # Errors
/// Nothing was stored, unless the problem says so: then sending the request again under the same key, or with ids, stores the rest.
pub async fn commit(state: &AppState, order: Order, harvest: Harvest) -> Result<Stored, Problem> {
    let Harvest { spool, rejections, digest } = harvest;
    let key = order.key.clone().zip(digest).map(|(key, body)| IdempotencyKey { key, body });
    // Claimed as long as the request lasts: the same request beside it is told to wait.
    let _claim = key.as_ref().map(|key| state.writer.claim(order.learner, &key.key)).transpose()?;
    let times = if key.is_some() { Times::Again } else { Times::Once };
    let bytes = spool.bytes();
    let reader = spool.into_reader(times)?;
    let mut parts = Parts { state, order, key, reader: Some(reader), bytes, rejections };
    let mut stored = Stored::default();
    let mut from = 0;
    for number in 0.. {
        let reached = match parts.append(number, from).await {
            Ok(part) => stored.add(part),
            Err(problem) => return Err(partly(problem, &stored, number)),
        };
        match reached {
            Some(until) => from = until,
            None => break,
        }
        if let Some(activity) = &parts.order.activity {
            activity.touch();
        }
    }
    ingest_counts::rejected(state, &parts.order.name, stored.rejections.count);
    Ok(stored)
}

/// A problem after parts of the request were stored says how many.
fn partly(problem: Problem, stored: &Stored, parts: u64) -> Problem {
    if parts == 0 {
        return problem;
    }
    let sum = json!({
        "accepted": stored.accepted, "duplicates": stored.duplicates, "replaced": stored.replaced, "head_seq": stored.head,
    });
    problem.with_member("stored", sum)
}

/// An append and what it was about.
struct Part {
    is_first: bool,
    answer: Appended,
    covers: Covered,
}

/// The appends of one request, one after the other.
struct Parts<'s> {
    state: &'s AppState,
    order: Order,
    key: Option<IdempotencyKey>,
    /// None while it is read on another thread.
    reader: Option<SpoolReader>,
    /// Bytes of all rows.
    bytes: u64,
    rejections: Rejections,
}

impl Parts<'_> {
    /// Appends the part whose rows begin at `from`.
    async fn append(&mut self, number: u64, from: u64) -> Result<Part, Problem> {
        // Room first: what is read from a file must not pile up in memory.
        let room = self.room(number).await?;
        let (rows, is_last) = self.read(from).await?;
        let (numbers, examples): (Vec<u64>, Vec<_>) = rows.into_iter().unzip();
        let until = if is_last { None } else { numbers.last().map(|row| row + 1) };
        let is_first = number == 0;
        let rejections = (is_first && self.rejections.count > 0).then(|| self.rejections.clone());
        let ours = Covered { until, rejections };
        let key = self.key.as_ref().map(|key| match number {
            0 => key.clone(),
            // No header's key has a space in it.
            _ => IdempotencyKey { key: format!("{} {number}", key.key), body: key.body },
        });
        let offered = examples.len();
        let Order { learner, existing, .. } = self.order;
        let append = Append { learner, key, existing, examples, covers: Some(ours.clone()) };
        let writing = self.state.writer.write_part(room, append);
        let Ok(outcome) = tokio::time::timeout(self.patience(), writing).await else {
            return Err(Problem::new(Kind::Timeout, "the request was given up; what it began may still be done"));
        };
        ingest_counts::written(self.state, &self.order.name, offered, &outcome);
        let answer = outcome?;
        let covers = answer.covers.clone().unwrap_or_else(|| ours.clone());
        if covers.until != until {
            // An earlier try was cut elsewhere: go on where it ended.
            self.reader()?.again()?;
        }
        Ok(Part { is_first, answer, covers })
    }

    async fn room(&self, number: u64) -> Result<Room, Problem> {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(self.order.size.bytes);
        if number == 0 {
            return Ok(self.state.writer.room_now(bytes)?);
        }
        // Rows are on disk already; the others wait for their turn.
        match tokio::time::timeout(self.patience(), self.state.writer.room_soon(bytes)).await {
            Ok(room) => Ok(room?),
            Err(_) => Err(Problem::new(Kind::Timeout, "the writer was busy for too long")),
        }
    }

    /// How long one append may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.state.config.limits.request_seconds)
    }

    async fn read(&mut self, from: u64) -> Result<(Vec<SpooledRow>, bool), Problem> {
        let mut reader = self.reader.take().ok_or_else(reader_lost)?;
        let size = self.order.size;
        let in_memory = reader.is_in_memory();
        let work = move || {
            let rows = reader.part(from, size)?;
            let is_last = reader.is_at_end()?;
            Ok((reader, rows, is_last))
        };
        let (reader, rows, is_last) = off_runtime(if in_memory { INLINE } else { usize::MAX }, work).await?;
        self.reader = Some(reader);
        Ok((rows, is_last))
    }

    fn reader(&mut self) -> Result<&mut SpoolReader, Problem> {
        self.reader.as_mut().ok_or_else(reader_lost)
    }
}

fn reader_lost() -> Problem {
    Problem::internal(&"the rows of a body were lost while they were read")
}

impl Stored {
    /// Adds a part; where the next one begins, if there is one.
    fn add(&mut self, part: Part) -> Option<u64> {
        let Part { is_first, answer, covers } = part;
        self.accepted += answer.accepted;
        self.duplicates += answer.duplicates;
        self.replaced += answer.replaced;
        self.first = self.first.or(answer.first_seq);
        self.last = answer.last_seq.or(self.last);
        self.head = answer.head_seq;
        if let Some(rejections) = covers.rejections {
            self.rejections = rejections;
        }
        self.outcomes = (is_first && covers.until.is_none()).then_some(answer.outcomes);
        covers.until
    }
}
