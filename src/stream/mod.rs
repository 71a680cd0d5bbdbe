//! The stream: a learner's append-only log of labelled examples.
//!
//! A body is decoded against the learner's schema into rows as it arrives ([`decode`]), which wait for its end in bounded
//! memory ([`intake`], [`spool`]); the writer commits the rows of many requests in one transaction ([`writer`]), and the
//! encoder turns stored rows into the numbers a network takes ([`encoder`]).
//! What the stream needs of a database is a trait ([`store`]); everything else here is values.

pub mod appended;
pub mod cache;
pub mod correction;
pub mod decode;
pub mod encoder;
pub mod example;
pub mod ids;
pub mod intake;
mod moments;
pub mod row_codec;
pub mod schema;
pub mod spool;
pub mod store;
pub mod targets;
pub mod timestamp;
pub mod writer;

pub use appended::{Appended, Outcome, OutcomeRun, Outcomes};
pub use cache::RowCache;
pub use correction::{Correction, CorrectionKind, Deletion, ExampleName};
pub use encoder::Encoder;
pub use example::{EncodedExample, Entry, Label, NewExample, Pixels, Row, StoredExample, Value};
pub use ids::{LearnerId, LearnerName, Seq};
pub use schema::{Feature, FeatureKind, Schema, Task};
pub use store::{Append, AppendRefusal, Covered, Existing, IdempotencyKey, Rested, StoreError, StreamStore};
pub use targets::Targets;
pub use timestamp::Timestamp;
