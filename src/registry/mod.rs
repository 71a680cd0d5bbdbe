//! Versions: immutable snapshots of a learner's model, their lineage, aliases and retention.

pub mod retention;
pub mod store;
pub mod version;

pub use store::RegistryStore;
pub use version::{BlobDigest, Cause, Model, Version, VersionId, VersionMetrics};
