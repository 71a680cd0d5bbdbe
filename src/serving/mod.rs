//! Serving: predictions from versions, hot-swapped.
//!
//! A prediction joins one bounded queue of rows; a batcher takes what waits for the same version as one batch and
//! answers all of it from one snapshot.

pub mod predictor;

pub use predictor::{Answer, PredictError, Prediction, Predictor, VersionChoice};
