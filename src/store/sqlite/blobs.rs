//! Blobs: written in parts before anything names them, named by commits, swept when nothing names them any more.
//!
//! A put writes under a number of its own and becomes the blob of its digest with its last part, in one transaction:
//! nobody sees half of it, and two puts of the same bytes do not meet. From then on it is *claimed* until a commit
//! names it, so no sweep can come between a put and its commit; the commit checks again, in its transaction, that the
//! blob is there. A claim whose process died ends after [`CLAIM_LASTS`]. A sweep takes the blob's row first and its
//! parts then, a few in each transaction, so that no ingest commit waits long for either.

use sqlx::{Row as _, SqliteConnection};
use time::Duration;

use super::SqliteStore;
use crate::registry::BlobDigest;
use crate::store::blob_bytes::{self, Reading, digest_of};
use crate::store::values::{json, later, now, number};
use crate::stream::StoreError;

/// How long a put waits for the commit that names it.
const CLAIM_LASTS: Duration = Duration::HOUR;

/// Parts that one transaction deletes.
const PARTS_AT_ONCE: i64 = 2;

impl SqliteStore {
    pub(super) async fn write_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = digest_of(bytes).await?;
        if self.claim(digest).await? {
            return Ok(digest);
        }
        let parts = blob_bytes::parts(bytes);
        let last = parts.len() - 1;
        let mut blob = 0;
        for (place, part) in parts.into_iter().enumerate() {
            let mut transaction = self.write().await?;
            if place == 0 {
                blob = begin(&mut transaction, digest, bytes.len()).await?;
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
                self.delete_parts(&[blob]).await?;
            }
        }
        Ok(digest)
    }

    pub(super) async fn read_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        // One read transaction: a sweep in between is not seen.
        let mut snapshot = self.readers.begin().await?;
        let found = sqlx::query("SELECT id, size FROM blobs WHERE digest = ? AND complete = 1")
            .bind(digest.as_bytes().to_vec())
            .fetch_optional(&mut *snapshot)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let blob: i64 = row.try_get("id")?;
        let size = number(row.try_get("size")?, blob_bytes::name(digest))?;
        let mut reading = Reading::default();
        for place in 0i64.. {
            let part: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT bytes FROM blob_parts WHERE blob_id = ? AND part = ?")
                    .bind(blob)
                    .bind(place)
                    .fetch_optional(&mut *snapshot)
                    .await?;
            let Some(part) = part else { break };
            reading.take(part).await?;
        }
        snapshot.rollback().await?;
        reading.finish(size, digest).map(Some)
    }

    /// Claims a complete blob for the caller's coming commit; `false` if there is none.
    async fn claim(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let claimed = claim(&mut transaction, digest).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Deletes every blob that nothing names or claims, and the parts of blobs that are gone.
    pub(super) async fn sweep_blobs(&self) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "DELETE FROM blobs WHERE
             (complete = 0 AND touched_at < ?1) OR
             (complete = 1 AND (claims = 0 OR touched_at < ?1)
              AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = blobs.digest AND weights_kept = 1)
              AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = blobs.digest)
              AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = blobs.digest))",
        )
        .bind(later(now(), -CLAIM_LASTS))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let orphans: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT blob_id FROM blob_parts WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = blob_id)",
        )
        .fetch_all(&self.readers)
        .await?;
        self.delete_parts(&orphans).await
    }

    /// Deletes the parts of blobs whose rows are gone.
    pub(super) async fn delete_parts(&self, blobs: &[i64]) -> Result<(), StoreError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let blobs = json(&blobs)?;
        loop {
            let mut transaction = self.write().await?;
            let gone = sqlx::query(
                "DELETE FROM blob_parts WHERE rowid IN
                 (SELECT rowid FROM blob_parts WHERE blob_id IN (SELECT value FROM json_each(?)) LIMIT ?)",
            )
            .bind(blobs.clone())
            .bind(PARTS_AT_ONCE)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            transaction.commit().await?;
            if gone < PARTS_AT_ONCE as u64 {
                return Ok(());
            }
        }
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

/// Deletes a blob's row if nothing names or claims it any more; its number, for [`SqliteStore::delete_parts`].
pub(super) async fn release(connection: &mut SqliteConnection, digest: BlobDigest) -> Result<Option<i64>, StoreError> {
    let gone = sqlx::query_scalar(
        "DELETE FROM blobs WHERE digest = ?1 AND complete = 1 AND claims = 0
         AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = ?1 AND weights_kept = 1)
         AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = ?1)
         AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = ?1)
         RETURNING id",
    )
    .bind(digest.as_bytes().to_vec())
    .fetch_optional(connection)
    .await?;
    Ok(gone)
}

async fn begin(connection: &mut SqliteConnection, digest: BlobDigest, size: usize) -> Result<i64, StoreError> {
    let blob = sqlx::query_scalar(
        "INSERT INTO blobs (digest, size, complete, claims, touched_at) VALUES (?, ?, 0, 0, ?) RETURNING id",
    )
    .bind(digest.as_bytes().to_vec())
    .bind(size as i64)
    .bind(now())
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
