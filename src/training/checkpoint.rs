//! The checkpoint: where a trainer stands; one per learner, replaced.

use serde::{Deserialize, Serialize};

use crate::registry::{BlobDigest, Model, VersionId};
use crate::stream::Seq;

/// Where a trainer stands, without its blobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Journal inputs up to this position are in the state.
    pub position: u64,
    /// Every example up to this place was offered to the trainer as new.
    pub trained_seq: Seq,
    /// The newest version number given.
    pub last_version: VersionId,
    /// The version that the trainer accepted last: what the gate compares with, whatever an operator made `live`.
    pub accepted: VersionId,
    /// The network with its encoder and targets.
    pub model: Model,
    /// The weights file.
    pub weights: BlobDigest,
    /// The optimizer state file.
    pub optimizer: BlobDigest,
    /// Everything small that training carries along (progressive metrics, gate, rates); the trainer's own document.
    pub progress: serde_json::Value,
}
