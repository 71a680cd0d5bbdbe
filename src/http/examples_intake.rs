//! From the body of a request to the examples that it brings, as it comes.
//!
//! Pieces are decoded by the schema in memory, which is right for every row but one with a feature that growth has added since:
//! for such a row the store is asked, once for each piece. Called by the action that appends examples.

use std::sync::Arc;

use super::decoding::newer;
use super::problem::Problem;
use super::state::AppState;
use super::unbroken::off_runtime;
use super::upload::{Piece, Upload};
use crate::stream::decode::{Expected, Format, Progress, SchemaAge};
use crate::stream::intake::{Harvest, Intake, IntakeError, IntakeSettings};
use crate::training::LearnerRecord;

/// Why a body was not taken.
pub enum Refused {
    /// What is wrong with it.
    Body(IntakeError),
    /// Anything else.
    Other(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

/// Reads and decodes a whole body.
pub async fn take_in(
    state: &AppState,
    mut learner: Arc<LearnerRecord>,
    (format, settings): (Format, IntakeSettings),
    upload: &mut Upload,
) -> Result<Harvest, Refused> {
    let limits = &state.config.limits;
    let limit = if format == Format::Json { limits.body_bytes as u64 } else { limits.stream_bytes };
    let mut intake = Intake::new(format.decoder(limits.body_bytes), settings);
    loop {
        let piece = upload.next(limit).await?;
        upload.hold(piece.len() + intake.memory())?;
        let is_last = piece.is_last;
        let mut work = Work { intake, piece: Some(piece), age: SchemaAge::Remembered, max_rows: limits.examples };
        loop {
            let bytes = work.bytes();
            let by = learner.clone();
            let (done, outcome) = off_runtime(bytes, move || Ok(work.decode(&by))).await?;
            work = done;
            if outcome.map_err(Refused::Body)? != Progress::UnknownFeature {
                break;
            }
            if let Some(newer) = newer(state, &learner).await {
                learner = newer;
            }
            work.age = SchemaAge::Newest;
        }
        upload.hold(work.intake.memory())?;
        if is_last {
            return work.intake.finish().map_err(Refused::Body);
        }
        intake = work.intake;
    }
}

/// A piece that is being decoded.
struct Work {
    intake: Intake,
    /// None: it was fed already.
    piece: Option<Piece>,
    age: SchemaAge,
    max_rows: usize,
}

impl Work {
    /// How much there is to do.
    fn bytes(&self) -> usize {
        self.piece.as_ref().map_or(0, Piece::len) + self.intake.memory()
    }

    /// Feeds the piece, unless that was done, and decodes what is there.
    fn decode(mut self, learner: &LearnerRecord) -> (Self, Result<Progress, IntakeError>) {
        if let Some(piece) = self.piece.take() {
            if let Some(bytes) = piece.joined() {
                self.intake.feed(bytes);
            }
            if piece.is_last {
                self.intake.end();
            }
        }
        let document = &learner.document;
        let expected = Expected { schema: &document.schema, task: &document.task, max_rows: self.max_rows };
        let outcome = self.intake.decode(expected, self.age);
        (self, outcome)
    }
}
