//! The intake of one request: pieces of a body in, the examples to store and the verdict on the others out.
//!
//! Nothing leaves it before the body is whole: a request at fault, or a client that goes away, stores nothing. It holds a piece,
//! what the decoder has not finished, and what the spool keeps in memory; it works on threads that may block. Called by the
//! HTTP edge.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::decode::{DecodeError, Expected, Fault, Progress, RowDecoder, RowSink, SchemaAge};
use super::example::NewExample;
use super::spool::{Spool, SpoolError, SpoolLimits};

/// What a faulty example means to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faulty {
    /// The request is refused.
    RefuseAll,
    /// It alone is not stored.
    RejectOne,
}

/// A rejected example of a request whose others were stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Which one, from 0.
    pub index: u64,
    /// What is wrong with it.
    pub errors: Vec<Fault>,
}

/// The examples of a body that were not taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<Rejected>,
    /// The numbers of the others, as runs of a first number and a count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(u64, u64)>,
}

impl Rejections {
    /// Adds the next one; what is wrong with it is kept if it is among the first `reported`.
    pub fn add(&mut self, rejected: Rejected, reported: usize) {
        self.count += 1;
        if self.first.len() < reported {
            self.first.push(rejected);
            return;
        }
        if let Some((first, count)) = self.others.last_mut()
            && *first + *count == rejected.index
        {
            *count += 1;
        } else if self.others.len() < MAX_RUNS {
            self.others.push((rejected.index, 1));
        }
    }

    /// All of them in order, those beyond the first without what is wrong.
    pub fn into_rows(self) -> impl Iterator<Item = Rejected> {
        let bare = |index| Rejected { index, errors: Vec::new() };
        let others = self.others.into_iter().flat_map(|(first, count)| first..first.saturating_add(count));
        self.first.into_iter().chain(others.map(bare))
    }
}

/// More runs than this are not kept, so that a stream of faults stays within bounds: a JSON document has fewer examples.
const MAX_RUNS: usize = 1_000_000;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// What is wrong with it.
    #[error("the body is at fault")]
    Body(DecodeError),
    /// Its rows cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// What the edge knows of a request before its body.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Whether the others are stored when one is at fault.
    pub faulty: Faulty,
    /// The most faulty examples, or faults, that are told of.
    pub reported: usize,
    /// Where rows wait.
    pub spool: SpoolLimits,
    /// Whether the digest of the body is wanted.
    pub digest: WantsDigest,
}

/// Whether the digest of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantsDigest {
    /// For an idempotency key.
    Yes,
    /// It would be worked out for nobody.
    No,
}

/// A body that was taken whole.
pub struct Harvest {
    /// The examples to store.
    pub spool: Spool,
    /// What is not stored.
    pub rejections: Rejections,
    /// SHA-256 of the body, if it was wanted.
    pub digest: Option<[u8; 32]>,
}

/// One body on its way.
pub struct Intake {
    decoder: Box<dyn RowDecoder>,
    digest: Option<Sha256>,
    gathered: Gathered,
}

impl Intake {
    /// For one body.
    pub fn new(decoder: Box<dyn RowDecoder>, settings: IntakeSettings) -> Self {
        let IntakeSettings { faulty, reported, spool, digest } = settings;
        let gathered = Gathered {
            faulty,
            reported,
            spool: Spool::new(spool),
            faults: Vec::new(),
            rejections: Rejections::default(),
            failure: None,
        };
        Self { decoder, digest: (digest == WantsDigest::Yes).then(Sha256::new), gathered }
    }

    /// Takes the next piece; the one before must have been decoded.
    pub fn feed(&mut self, piece: Bytes) {
        if let Some(digest) = &mut self.digest {
            digest.update(&piece);
        }
        self.decoder.feed(piece);
    }

    /// The body is whole.
    pub fn end(&mut self) {
        self.decoder.end();
    }

    /// Decodes what was fed.
    ///
    /// # Errors
    /// The request is refused; nothing of it was stored.
    pub fn decode(&mut self, expected: Expected<'_>, age: SchemaAge) -> Result<Progress, IntakeError> {
        let progress = self.decoder.decode(expected, age, &mut self.gathered);
        if let Some(failure) = self.gathered.failure.take() {
            return Err(failure);
        }
        match progress {
            Ok(progress) => Ok(progress),
            // Faults of rows and of the body are told together.
            Err(DecodeError::Invalid(of_body)) => Err(IntakeError::Body(self.gathered.with_row_faults(of_body))),
            Err(error) => Err(IntakeError::Body(error)),
        }
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        self.decoder.held() + self.gathered.spool.memory()
    }

    /// What came of a body that was decoded to its end.
    ///
    /// # Errors
    /// An example is at fault, and the request is refused for it.
    pub fn finish(self) -> Result<Harvest, IntakeError> {
        let Gathered { spool, faults, rejections, .. } = self.gathered;
        if !faults.is_empty() {
            return Err(IntakeError::Body(DecodeError::Invalid(faults)));
        }
        Ok(Harvest { spool, rejections, digest: self.digest.map(|digest| digest.finalize().into()) })
    }
}

/// What was found so far.
struct Gathered {
    faulty: Faulty,
    reported: usize,
    spool: Spool,
    /// The faults for which the request will be refused.
    faults: Vec<Fault>,
    rejections: Rejections,
    failure: Option<IntakeError>,
}

impl Gathered {
    fn with_row_faults(&mut self, of_body: Vec<Fault>) -> DecodeError {
        let mut faults = std::mem::take(&mut self.faults);
        faults.extend(of_body);
        faults.truncate(self.reported.max(1));
        DecodeError::Invalid(faults)
    }

    fn fail(&mut self, failure: IntakeError) -> ControlFlow<()> {
        self.failure = Some(failure);
        ControlFlow::Break(())
    }

    fn reject(&mut self, row: u64, errors: Vec<Fault>) {
        self.rejections.add(Rejected { index: row, errors }, self.reported);
    }

    fn refuse(&mut self, errors: Vec<Fault>) -> ControlFlow<()> {
        self.faults.extend(errors);
        if self.faults.len() < self.reported {
            return ControlFlow::Continue(());
        }
        self.faults.truncate(self.reported.max(1));
        let faults = std::mem::take(&mut self.faults);
        self.fail(IntakeError::Body(DecodeError::Invalid(faults)))
    }
}

impl RowSink for Gathered {
    fn take(&mut self, row: u64, found: Result<NewExample, DecodeError>) -> ControlFlow<()> {
        match (found, self.faulty) {
            // The request is lost already; the rest is read for its faults.
            (Ok(_), Faulty::RefuseAll) if !self.faults.is_empty() => ControlFlow::Continue(()),
            (Ok(example), _) => match self.spool.push(row, example.into()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => self.fail(error.into()),
            },
            (Err(DecodeError::Invalid(errors)), Faulty::RefuseAll) => self.refuse(errors),
            (Err(error), Faulty::RefuseAll) => self.fail(IntakeError::Body(error)),
            (Err(DecodeError::Invalid(errors)), Faulty::RejectOne) => {
                self.reject(row, errors);
                ControlFlow::Continue(())
            }
            (Err(DecodeError::Malformed(fault)), Faulty::RejectOne) => {
                self.reject(row, vec![fault]);
                ControlFlow::Continue(())
            }
            (Err(error), Faulty::RejectOne) => self.fail(IntakeError::Body(error)),
        }
    }
}
