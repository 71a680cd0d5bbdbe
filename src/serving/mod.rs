//! Serving: predictions from versions, hot-swapped.
//!
//! A prediction joins one bounded queue of rows; a batcher takes what waits for the same version as one batch and
//! answers all of it from one snapshot. Loading, verifying and warming a version happens beside that path; a version
//! becomes visible whole, by one swap of a pointer.

mod aliases;
mod batcher;
pub mod loader;
mod model;
pub mod predictor;
mod queue;
mod slot;

pub use predictor::{Answer, PredictError, Prediction, Predictor, VersionChoice};
