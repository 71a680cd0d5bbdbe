//! Blobs: written before anything names them, in parts or as an object, and named by commits.
//!
//! A put writes under a number of its own and becomes the blob of its digest with its last part, in one transaction:
//! nobody sees half of it, and two puts of the same bytes do not meet. An object is written between two such transactions:
//! its row is there before it and complete after it. From then on the blob is *claimed* until a commit names it, so no
//! sweep ([`super::sweep`]) can come between a put and its commit; the commit checks again, in its transaction, that the
//! blob is there. A claim whose process died ends after [`CLAIM_LASTS`].

use sqlx::{Row as _, SqliteConnection};
use time::Duration;

use super::SqliteStore;
use crate::registry::BlobDigest;
use crate::store::blob_bytes::{self, Reading, digest_of};
use crate::store::failure::damaged;
use crate::store::objects::{ObjectName, Place, PlacedBlob, Remains};
use crate::store::values::{now, number};
use crate::stream::StoreError;

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
        let parts = blob_bytes::parts(bytes);
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
                self.delete_bytes(&[Remains::in_parts(blob)]).await?;
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
        // A statement for each part and no transaction around them: one that is open while gigabytes are read and hashed keeps the
        // log from being begun anew. Bytes never change, and a number never comes again, so what is read is the blob or an end;
        // where it is no blob, that one was swept meanwhile and maybe another came, or it is damaged.
        let mut last = None;
        loop {
            let found = find(&mut *self.readers.acquire().await?, digest).await?;
            let Some(found) = found else { return Ok(None) };
            let read = match &found.place {
                None => self.read_parts(digest, &found).await,
                Some((place, url)) => {
                    let blob = PlacedBlob { name: ObjectName { digest, row: found.id }, place: *place };
                    let bytes = self.places.get(&blob, url).await?;
                    bytes.ok_or_else(|| damaged(blob_bytes::name(digest), "its object is not there"))
                }
            };
            match read {
                Err(StoreError::Damaged(_)) if last != Some(found.id) => last = Some(found.id),
                read => return read.map(Some),
            }
        }
    }

    /// Reads the parts of a blob and verifies its digest.
    async fn read_parts(&self, digest: BlobDigest, found: &Found) -> Result<Vec<u8>, StoreError> {
        let mut reading = Reading::default();
        for place in 0i64.. {
            let part: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT bytes FROM blob_parts WHERE blob_id = ? AND part = ?")
                    .bind(found.id)
                    .bind(place)
                    .fetch_optional(&self.readers)
                    .await?;
            let Some(part) = part else { break };
            reading.take(part).await?;
        }
        reading.finish(found.size, digest)
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
    let size = number(row.try_get("size")?, blob_bytes::name(digest))?;
    Ok(Some(Found { id: row.try_get("id")?, size, place }))
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
