//! Versions: immutable snapshots of a learner's model, their lineage, aliases and retention.

pub mod alias;
pub mod retention;
pub mod store;
pub mod version;

pub use alias::{
    Actor, Alias, AliasAction, AliasEdit, AliasError, AliasName, AliasOrder, AliasRecord, Expected, LIVE, Pinning,
};
pub use retention::Retention;
pub use store::RegistryStore;
pub use version::{Ancestor, BlobDigest, Cause, Model, Version, VersionId, VersionMetrics};
