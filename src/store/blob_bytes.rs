//! The bytes of blobs: cut into parts, and hashed on threads that may take their time. For the stores alone.

use sha2::{Digest, Sha256};

use super::failure::{broken_off, damaged};
use crate::registry::BlobDigest;
use crate::stream::StoreError;

/// The most bytes of a part, and so of a transaction that writes one.
pub(super) const PART_BYTES: usize = 4 << 20;

/// The parts of a blob in order; an empty blob has one empty part.
pub(super) fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.is_empty() { vec![&[]] } else { bytes.chunks(PART_BYTES).collect() }
}

/// The digest of a blob; a part's copy is in memory at once.
pub(super) async fn digest_of(bytes: &[u8]) -> Result<BlobDigest, StoreError> {
    let mut hash = Sha256::new();
    for part in bytes.chunks(PART_BYTES) {
        hash = update(hash, part.to_vec()).await?.0;
    }
    Ok(BlobDigest::from_bytes(hash.finalize().into()))
}

/// A blob that is read part by part.
#[derive(Default)]
pub(super) struct Reading {
    bytes: Vec<u8>,
    hash: Sha256,
}

impl Reading {
    /// Takes the next part.
    pub(super) async fn take(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        let (hash, part) = update(std::mem::take(&mut self.hash), part).await?;
        self.hash = hash;
        self.bytes.extend_from_slice(&part);
        Ok(())
    }

    /// The whole blob, if its parts make the one of this size and digest.
    pub(super) fn finish(self, size: u64, digest: BlobDigest) -> Result<Vec<u8>, StoreError> {
        if self.bytes.len() as u64 != size || BlobDigest::from_bytes(self.hash.finalize().into()) != digest {
            return Err(damaged(name(digest), "its bytes are not those of its digest"));
        }
        Ok(self.bytes)
    }
}

/// How a blob is named in errors.
pub(super) fn name(digest: BlobDigest) -> String {
    format!("blob {}", digest.to_hex())
}

async fn update(mut hash: Sha256, part: Vec<u8>) -> Result<(Sha256, Vec<u8>), StoreError> {
    let hashing = move || {
        hash.update(&part);
        (hash, part)
    };
    tokio::task::spawn_blocking(hashing).await.map_err(broken_off)
}
