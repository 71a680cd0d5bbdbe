//! Blobs: written before anything names them, in parts or as an object, and named by commits.
//!
//! A put writes under a number of its own and becomes the blob of its digest with its last part, in one transaction:
//! nobody sees half of it, and two puts of the same bytes do not meet. An object is written between two such transactions:
//! its row is there before it and complete after it. From then on the blob is *claimed* until a commit names it, so no
//! sweep ([`super::sweep`]) can come between a put and its commit; the commit checks again, in its transaction, that the
//! blob is there. A claim whose process died ends after [`CLAIM_LASTS`].

use sha2::{Digest, Sha256};
use sqlx::{Row as _, SqliteConnection};
use time::Duration;

use super::SqliteStore;
use super::sweep::Remains;
use crate::registry::BlobDigest;
use crate::store::failure::{broken_off, damaged};
use crate::store::objects::{ObjectName, Place, PlacedBlob};
use crate::store::values::{now, number};
use crate::stream::StoreError;

/// The most bytes of a part, and so of a transaction that writes one.
pub(super) const PART_BYTES: usize = 4 << 20;

/// How long a put waits for the commit that names it.
pub(super) const CLAIM_LASTS: Duration = Duration::HOUR;

/// A complete blob's row.
struct Found {
    id: i64,
    size: u64,
    /// In which object store it lies and where that is; `None`: in this database.
    place: Option<(i64, String)>,
}

impl SqliteStore {
    pub(super) async fn write_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = digest_of(bytes).await?;
        if self.claim(digest).await? {
            return Ok(digest);
        }
        match self.places.current() {
            Some(place) => self.write_object(place, digest, bytes).await?,
            None => self.write_parts(digest, bytes).await?,
        }
        Ok(digest)
    }

    async fn write_parts(&self, digest: BlobDigest, bytes: &[u8]) -> Result<(), StoreError> {
        let mut parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        let mut blob = 0;
        for (place, part) in parts.into_iter().enumerate() {
            let mut transaction = self.write().await?;
            if place == 0 {
                blob = begin(&mut transaction, digest, bytes.len(), None).await?;
            }
            sqlx::query("INSERT INTO blob_parts (blob_id, part, bytes) VALUES (?, ?, ?)")
                .bind(blob)
                .bind(place as i64)
                .bind(part.to_vec())
                .execute(&mut *transaction)
                .await?;
            let ours = if place == last { complete(&mut transaction, digest, blob).await? } else { true };
            transaction.commit().await?;
            if !ours {
                self.delete_bytes(&[Remains { id: blob, object: None }]).await?;
            }
        }
        Ok(())
    }

    async fn write_object(&self, place: &Place, digest: BlobDigest, bytes: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let id = begin(&mut transaction, digest, bytes.len(), Some(place.id)).await?;
        transaction.commit().await?;
        // If this fails, a sweep takes the row after an hour and then what there may be of the object.
        let name = ObjectName { digest, row: id };
        self.places.put(place, &name, bytes).await?;
        let mut transaction = self.write().await?;
        let ours = complete(&mut transaction, digest, id).await?;
        transaction.commit().await?;
        if !ours {
            let object = Some(PlacedBlob { name, place: place.id });
            self.delete_bytes(&[Remains { id, object }]).await?;
        }
        Ok(())
    }

    pub(super) async fn read_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        // One read transaction: a sweep in between is not seen.
        let mut snapshot = self.readers.begin().await?;
        let Some(mut found) = find(&mut snapshot, digest).await? else { return Ok(None) };
        let Some((mut place, mut url)) = found.place.take() else {
            let bytes = read_parts(&mut snapshot, digest, &found).await?;
            snapshot.rollback().await?;
            return Ok(Some(bytes));
        };
        snapshot.rollback().await?;
        // No transaction waits for an object store. If the object is gone, so is its row, or it has moved.
        loop {
            let blob = PlacedBlob { name: ObjectName { digest, row: found.id }, place };
            if let Some(bytes) = self.places.get(&blob, &url).await? {
                return Ok(Some(bytes));
            }
            let mut connection = self.readers.acquire().await?;
            let Some(mut now) = find(&mut connection, digest).await? else { return Ok(None) };
            if now.id == found.id {
                return Err(damaged(format_args!("blob {}", digest.to_hex()), "its object is not there"));
            }
            let Some(elsewhere) = now.place.take() else {
                return read_parts(&mut connection, digest, &now).await.map(Some);
            };
            (place, url) = elsewhere;
            found = now;
        }
    }

    /// Claims a complete blob for the caller's coming commit; `false` if there is none.
    async fn claim(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let claimed = claim(&mut transaction, digest).await?;
        transaction.commit().await?;
        Ok(claimed)
    }
}

/// Redeems a put's claim for a row that is about to name the blob.
///
/// Two rows may name what was put once: the second finds no claim, or takes that of another learner that put the same
/// bytes just now. Then only that learner's commit may find the blob gone, be refused and have to put it again.
///
/// # Errors
/// The blob is not there whole; then the row must not be written.
pub(super) async fn name(connection: &mut SqliteConnection, digest: BlobDigest) -> Result<(), StoreError> {
    let named = sqlx::query("UPDATE blobs SET claims = MAX(claims - 1, 0) WHERE digest = ? AND complete = 1")
        .bind(digest.as_bytes().to_vec())
        .execute(connection)
        .await?;
    if named.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Unavailable(format!("blob {} is not there whole and cannot be named", digest.to_hex())))
    }
}

async fn find(connection: &mut SqliteConnection, digest: BlobDigest) -> Result<Option<Found>, StoreError> {
    let found = sqlx::query(
        "SELECT blobs.id, size, place_id, url FROM blobs LEFT JOIN blob_places ON blob_places.id = place_id
         WHERE digest = ? AND complete = 1",
    )
    .bind(digest.as_bytes().to_vec())
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let place: Option<i64> = row.try_get("place_id")?;
    let place = match place {
        Some(place) => Some((place, row.try_get("url")?)),
        None => None,
    };
    let size = number(row.try_get("size")?, format_args!("blob {}", digest.to_hex()))?;
    Ok(Some(Found { id: row.try_get("id")?, size, place }))
}

/// Reads the parts of a blob and verifies its digest.
async fn read_parts(
    connection: &mut SqliteConnection,
    digest: BlobDigest,
    found: &Found,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let mut hash = Sha256::new();
    for place in 0i64.. {
        let part: Option<Vec<u8>> = sqlx::query_scalar("SELECT bytes FROM blob_parts WHERE blob_id = ? AND part = ?")
            .bind(found.id)
            .bind(place)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(part) = part else { break };
        let hashed = update(hash, part).await?;
        hash = hashed.0;
        bytes.extend_from_slice(&hashed.1);
    }
    if bytes.len() as u64 != found.size || BlobDigest::from_bytes(hash.finalize().into()) != digest {
        let what = format!("blob {}", digest.to_hex());
        return Err(damaged(what, "its bytes are not those of its digest"));
    }
    Ok(bytes)
}

async fn begin(
    connection: &mut SqliteConnection,
    digest: BlobDigest,
    size: usize,
    place: Option<i64>,
) -> Result<i64, StoreError> {
    let blob = sqlx::query_scalar(
        "INSERT INTO blobs (digest, size, complete, claims, touched_at, place_id) VALUES (?, ?, 0, 0, ?, ?)
         RETURNING id",
    )
    .bind(digest.as_bytes().to_vec())
    .bind(size as i64)
    .bind(now())
    .bind(place)
    .fetch_one(connection)
    .await?;
    Ok(blob)
}

/// Makes an upload the blob of its digest; `false` if another was faster: that one is claimed then.
async fn complete(connection: &mut SqliteConnection, digest: BlobDigest, blob: i64) -> Result<bool, StoreError> {
    if claim(connection, digest).await? {
        sqlx::query("DELETE FROM blobs WHERE id = ?").bind(blob).execute(connection).await?;
        return Ok(false);
    }
    let completed = sqlx::query("UPDATE blobs SET complete = 1, claims = 1, touched_at = ? WHERE id = ?")
        .bind(now())
        .bind(blob)
        .execute(connection)
        .await?;
    if completed.rows_affected() == 1 {
        Ok(true)
    } else {
        Err(StoreError::Unavailable(format!("blob {} took too long to be written", digest.to_hex())))
    }
}

async fn claim(connection: &mut SqliteConnection, digest: BlobDigest) -> Result<bool, StoreError> {
    let claimed = sqlx::query("UPDATE blobs SET claims = claims + 1, touched_at = ? WHERE digest = ? AND complete = 1")
        .bind(now())
        .bind(digest.as_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(claimed.rows_affected() == 1)
}

/// The digest, computed on threads that may take their time, a part's copy in memory at once.
async fn digest_of(bytes: &[u8]) -> Result<BlobDigest, StoreError> {
    let mut hash = Sha256::new();
    for part in bytes.chunks(PART_BYTES) {
        hash = update(hash, part.to_vec()).await?.0;
    }
    Ok(BlobDigest::from_bytes(hash.finalize().into()))
}

async fn update(mut hash: Sha256, part: Vec<u8>) -> Result<(Sha256, Vec<u8>), StoreError> {
    let hashing = move || {
        hash.update(&part);
        (hash, part)
    };
    tokio::task::spawn_blocking(hashing).await.map_err(broken_off)
}
