//! The stream: a learner's append-only log of labelled examples.
//!
//! A body is decoded against the learner's schema into rows ([`decode`]), the writer commits the rows of many requests
//! in one transaction ([`writer`]), and the encoder turns stored rows into the numbers a network takes ([`encoder`]).
//! What the stream needs of a database is a trait ([`store`]); everything else here is values.

pub mod appended;
pub mod correction;
pub mod decode;
pub mod encoder;
pub mod example;
pub mod feature_cache;
pub mod ids;
mod moments;
pub mod row_codec;
pub mod schema;
pub mod store;
pub mod targets;
pub mod writer;

pub use appended::{Appended, Outcome, OutcomeRun, Outcomes};
pub use correction::{Correction, CorrectionKind, Deletion, ExampleName};
pub use encoder::Encoder;
pub use example::{Entry, Label, NewExample, Pixels, Row, StoredExample, Value};
pub use feature_cache::RowCache;
pub use ids::{LearnerId, LearnerName, Seq};
pub use schema::{Feature, FeatureKind, Schema, Task};
pub use store::{Append, AppendRefusal, Existing, IdempotencyKey, StoreError, StreamStore};
pub use targets::Targets;
