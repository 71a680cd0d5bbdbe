//! What a version is.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::growth::GrowthOp;
use crate::network::Network;
use crate::stream::{Encoder, Seq, Targets};

/// A version's number: 1 for a learner's first, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(pub u64);

impl fmt::Display for VersionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The SHA-256 of a blob, its name in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest([u8; 32]);

impl BlobDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that has these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads [`BlobDigest::to_hex`] back.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

impl Serialize for BlobDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for BlobDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// Everything but the weights that answers a prediction: stored as one document with the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The graph.
    pub network: Network,
    /// From rows to inputs.
    pub encoder: Encoder,
    /// From outputs to answers.
    pub targets: Targets,
}

/// Why a version exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The learner was created.
    Created,
    /// Training passed the gate.
    Trained,
    /// The state just before a growth.
    Teacher { op: GrowthOp },
    /// The state just after a growth.
    Growth { op: GrowthOp, trigger: String },
}

/// What was known of a version when it was published. Absent: not measured yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VersionMetrics {
    /// Holdout rows measured.
    pub holdout_rows: u64,
    /// Mean loss on them.
    pub holdout_loss: Option<f64>,
    /// Accuracy on them (classification).
    pub holdout_accuracy: Option<f64>,
    /// Progressive accuracy when it was published (classification).
    pub progressive_accuracy: Option<f64>,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub version: VersionId,
    /// The version it came from.
    pub parent: Option<VersionId>,
    /// Why.
    pub cause: Cause,
    /// The newest example it was trained on (offered as new).
    pub trained_seq: Seq,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What answers.
    pub model: Model,
    /// What was measured.
    pub metrics: VersionMetrics,
    /// The weights file's digest.
    pub digest: BlobDigest,
    /// Whether the weights are still kept.
    pub weights_kept: bool,
}

/// A version in a lineage: what is told of it without its model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ancestor {
    /// Its number.
    pub version: VersionId,
    /// The version it came from.
    pub parent: Option<VersionId>,
    /// Why it exists.
    pub cause: Cause,
    /// The newest example it was trained on.
    pub trained_seq: Seq,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What was measured.
    pub metrics: VersionMetrics,
    /// Whether the weights are still kept.
    pub weights_kept: bool,
}
