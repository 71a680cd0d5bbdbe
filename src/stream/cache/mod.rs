//! The stream cache: raw rows beside the trainer, in memory ([`RowCache`]) and in files that are mapped ([`StreamCache`]).
//!
//! What is cached is what was stored: values, category texts and labels, not yet encoded, so that statistics, defaults of
//! features born later and new classes are those of the moment in which a batch is made. Everything here can be lost: a
//! place that is not cached is read from the store, and no answer depends on what is cached. Owned by one trainer.

mod folder;
mod format;
mod memory;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use folder::{StreamCache, StreamIdentity, remove_learner, sweep};
pub use memory::{RowCache, approximate_bytes};
pub use segment::{SEGMENT_PLACES, SegmentNumber};
pub use writer::SegmentWriter;
