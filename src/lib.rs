//! Perennial: a server for models that never stop learning.
//!
//! Labelled examples arrive over HTTP for years; every one is stored, a network is trained on all of them,
//! predictions are served from the best version so far, and as the data grows the network grows with it,
//! wider and deeper, without changing what it computes at that moment (Net2Net: Chen, Goodfellow, Shlens 2015).
//!
//! The map, from the values at the bottom to the edges at the top (`docs/ARCHITECTURE.md` walks through it):
//!
//! - [`compute`]: devices, thread pools, counter-based randomness, optimizers. Knows tensors, no networks.
//! - [`network`]: the graph: nodes, shapes, channels, parameters, builders, the f64 reference evaluator.
//! - [`growth`]: channel inference, plans, refusals, certificates, and the growth of training state.
//! - [`policy`]: when and where a learner grows: a pure function from signals to a decision with reasons.
//! - [`stream`]: schema, examples, decoders, the group-commit writer, the encoder from rows to numbers.
//! - [`registry`]: versions, lineage, aliases, blobs.
//! - [`training`]: the trainer: rounds, replay, evaluation, gate, checkpoint.
//! - [`serving`]: the slot that a version is swapped into, the queue and the batcher.
//! - [`store`]: the database behind the traits of `stream`, `registry` and `training`.
//! - [`http`] and [`cli`]: the edges. [`config`] and [`metrics`] serve all of them.

pub mod cli;
pub mod compute;
pub mod config;
pub mod growth;
pub mod http;
pub mod metrics;
pub mod network;
pub mod policy;
pub mod process;
pub mod registry;
pub mod serving;
pub mod store;
pub mod stream;
pub mod training;
