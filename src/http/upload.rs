//! A body of examples on its way in: read piece by piece, as long as it makes progress, within the memory for bodies.
//!
//! Other bodies are read whole before their action starts; this one is handed to its action, which takes as long as the client
//! sends. A client that is silent, or slower than any that sends in earnest, is given up. Made by [`super::middleware`].

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::header;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::activity::Activity;
use super::middleware::{Bodies, PERMIT_BYTES, drain, next_frame, too_large};
use super::problem::{Kind, Problem};

/// Bytes that are gathered before they are decoded.
const PIECE: usize = 256 << 10;

/// Bytes that must come in the time that a request has: 64 KiB in 75 s is no slow network, it is a client that holds a place.
const PACE: usize = 64 << 10;

/// A body that has not been read yet.
pub struct Upload {
    body: Body,
    bodies: Bodies,
    memory: Option<OwnedSemaphorePermit>,
    held: usize,
    /// What came, unpacked.
    taken: u64,
    announced: Option<u64>,
    waits_for_consent: bool,
    /// The end of the time for the next [`PACE`] bytes, and how many of them came.
    pace: (Instant, usize),
    activity: Option<Activity>,
}

/// The next part of a body.
pub struct Piece {
    /// Its bytes, as they came.
    pub frames: Vec<Bytes>,
    /// Whether the body ends here.
    pub is_last: bool,
}

impl Piece {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }

    /// Its bytes in one; none if it is empty.
    pub fn joined(&self) -> Option<Bytes> {
        match &self.frames[..] {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.concat().into()),
        }
    }
}

impl Upload {
    /// Waits for the next piece of a body of at most `limit` bytes.
    pub async fn next(&mut self, limit: u64) -> Result<Piece, Problem> {
        if self.announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let mut piece = Piece { frames: Vec::new(), is_last: false };
        let mut length = 0;
        while length < PIECE {
            let frame = tokio::time::timeout_at(self.pace.0, next_frame(&mut self.body)).await;
            let frame = frame.map_err(|_| Problem::new(Kind::SlowBody, "the body came too slowly"))??;
            let Some(frame) = frame else {
                piece.is_last = true;
                break;
            };
            self.taken += frame.len() as u64;
            if self.taken > limit {
                return Err(too_large(limit));
            }
            self.progress(frame.len());
            length += frame.len();
            piece.frames.push(frame);
        }
        Ok(piece)
    }

    /// Holds memory for so many bytes, all in all, until the request is answered.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes <= self.held {
            return Ok(());
        }
        let permits = u32::try_from((bytes - self.held).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let more = self.bodies.memory.clone().try_acquire_many_owned(permits);
        let more = more.map_err(|_| Problem::new(Kind::Overloaded, "too many large bodies at once"))?;
        self.held += permits as usize * PERMIT_BYTES;
        match &mut self.memory {
            Some(memory) => memory.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Reads on and throws away, so that the client sees the answer instead of a broken connection; the answer.
    pub async fn drain(&mut self, problem: Problem) -> Problem {
        if self.waits_for_consent && self.taken == 0 {
            return problem.closing();
        }
        drain(std::mem::take(&mut self.body), self.bodies.limit, problem).await
    }

    /// What keeps the connection open while the request is worked on.
    pub fn activity(&self) -> Option<Activity> {
        self.activity.clone()
    }

    fn progress(&mut self, bytes: usize) {
        self.pace.1 += bytes;
        if self.pace.1 >= PACE {
            self.pace = (Instant::now() + self.bodies.patience, 0);
            if let Some(activity) = &self.activity {
                activity.touch();
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let bodies = parts.extensions.remove::<Bodies>();
        let bodies = bodies.ok_or_else(|| Problem::internal(&"the route of an upload lacks its layer"))?;
        let activity = parts.extensions.get::<ConnectInfo<Activity>>().map(|ConnectInfo(activity)| activity.clone());
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self {
            body,
            pace: (Instant::now() + bodies.patience, 0),
            bodies,
            memory: None,
            held: 0,
            taken: 0,
            announced: length,
            waits_for_consent: parts.headers.contains_key(header::EXPECT),
            activity,
        })
    }
}
