//! Blobs: written in parts before anything names them, named by commits, swept when nothing names them any more.
//!
//! A put writes under a number of its own and becomes the blob of its digest with its last part, in one transaction:
//! nobody sees half of it. From then on it is *claimed* until a commit names it, so no sweep can come between a put and its
//! commit; the commit checks again, in its transaction, that the blob is there. A claim whose process died ends after
//! [`CLAIM_LASTS`].
//!
//! Whoever names a blob locks its row until the commit. Whoever deletes one locks its row first and looks in a statement of
//! its own then whether anything names it: one statement alone would look at the rows that name blobs as they stood when it
//! began to wait for the lock. Blobs are named in order of digest and deleted in transactions of their own that skip what is
//! locked, so neither waits in a circle.

use sqlx::PgConnection;
use time::Duration;

use super::PostgresStore;
use super::retry::retried;
use super::write::WriteTransaction;
use crate::registry::BlobDigest;
use crate::store::blob_bytes::{self, Reading, digest_of};
use crate::store::columns::Columns as _;
use crate::store::values::{later, number};
use crate::stream::StoreError;

/// How long a put waits for the commit that names it.
const CLAIM_LASTS: Duration = Duration::HOUR;

/// Parts that one transaction deletes.
const PARTS_AT_ONCE: i64 = 8;

impl PostgresStore {
    pub(super) async fn write_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = digest_of(bytes).await?;
        if retried!(self.claim_blob(digest))? {
            return Ok(digest);
        }
        let mut blob = None;
        let parts = blob_bytes::parts(bytes);
        let last = parts.len() - 1;
        for (place, part) in parts.into_iter().enumerate() {
            let mut transaction = self.write().await?;
            let number = match blob {
                Some(number) => number,
                None => *blob.insert(begin(&mut transaction, digest, bytes.len()).await?),
            };
            sqlx::query("INSERT INTO blob_parts (blob_id, part, bytes) VALUES ($1, $2, $3)")
                .bind(number)
                .bind(place as i64)
                .bind(part)
                .execute(&mut *transaction)
                .await?;
            let ours = if place == last { complete(&mut transaction, digest, number).await? } else { true };
            transaction.commit().await?;
            if !ours {
                self.delete_parts(&[number]).await?;
            }
        }
        Ok(digest)
    }

    pub(super) async fn read_blob(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        // One snapshot: a sweep in between is not seen.
        let mut snapshot = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let found = sqlx::query("SELECT id, size FROM blobs WHERE digest = $1 AND complete")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&mut *snapshot)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let blob = row.integer("id")?;
        let size = number(row.integer("size")?, blob_bytes::name(digest))?;
        let mut reading = Reading::default();
        for place in 0i64.. {
            let part: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT bytes FROM blob_parts WHERE blob_id = $1 AND part = $2")
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
    async fn claim_blob(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let claimed = claim(&mut transaction, digest).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Deletes these blobs where nothing names or claims them any more.
    pub(super) async fn release_blobs(&self, digests: impl IntoIterator<Item = BlobDigest>) -> Result<(), StoreError> {
        let digests: Vec<Vec<u8>> = digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect();
        if digests.is_empty() {
            return Ok(());
        }
        let gone = retried!(self.delete_unnamed(&digests))?;
        self.delete_parts(&gone).await
    }

    /// Deletes every blob that nothing names or claims, and the parts of blobs that are gone.
    pub(super) async fn sweep_blobs(&self) -> Result<(), StoreError> {
        // A first look without locks; what it finds is looked at again.
        let unnamed: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT digest FROM blobs WHERE complete AND (claims = 0 OR touched_at < micros() - $1)
             AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = blobs.digest AND weights_kept)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = blobs.digest)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = blobs.digest)",
        )
        .bind(later(0, CLAIM_LASTS))
        .fetch_all(&self.pool)
        .await?;
        retried!(self.delete_unnamed(&unnamed))?;
        retried!(self.delete_unfinished())?;
        let orphans: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT blob_id FROM blob_parts WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = blob_id)",
        )
        .fetch_all(&self.pool)
        .await?;
        self.delete_parts(&orphans).await
    }

    /// Deletes the rows of those among these blobs that nothing names or claims; their numbers.
    async fn delete_unnamed(&self, digests: &[Vec<u8>]) -> Result<Vec<i64>, StoreError> {
        let mut transaction = self.write().await?;
        let locked: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM blobs WHERE digest = ANY($1) AND complete AND (claims = 0 OR touched_at < micros() - $2)
             FOR UPDATE SKIP LOCKED",
        )
        .bind(digests)
        .bind(later(0, CLAIM_LASTS))
        .fetch_all(&mut *transaction)
        .await?;
        let gone: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM blobs WHERE id = ANY($1)
             AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = blobs.digest AND weights_kept)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = blobs.digest)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = blobs.digest)
             RETURNING id",
        )
        .bind(locked)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(gone)
    }

    /// Deletes the rows of puts that were broken off long ago.
    async fn delete_unfinished(&self) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM blobs WHERE NOT complete AND touched_at < micros() - $1")
            .bind(later(0, CLAIM_LASTS))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Deletes the parts of blobs whose rows are gone.
    pub(super) async fn delete_parts(&self, blobs: &[i64]) -> Result<(), StoreError> {
        while !blobs.is_empty() && retried!(self.delete_some_parts(blobs))? == PARTS_AT_ONCE as u64 {}
        Ok(())
    }

    async fn delete_some_parts(&self, blobs: &[i64]) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query(
            "DELETE FROM blob_parts WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM blob_parts WHERE blob_id = ANY($1) LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(blobs)
        .bind(PARTS_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}

/// Redeems puts' claims for rows that are about to name the blobs, one for each mention, in order of digest.
///
/// Two rows may name what was put once: the second finds no claim, or takes that of another learner that put the same
/// bytes just now. Then only that learner's commit may find the blob gone, be refused and have to put it again.
///
/// # Errors
/// A blob is not there whole; then the rows must not be written.
pub(super) async fn name(
    transaction: &mut WriteTransaction,
    mentions: impl Iterator<Item = BlobDigest>,
) -> Result<(), StoreError> {
    let mut digests: Vec<BlobDigest> = mentions.collect();
    digests.sort_unstable();
    for digest in digests {
        let named = sqlx::query("UPDATE blobs SET claims = GREATEST(claims - 1, 0) WHERE digest = $1 AND complete")
            .bind(digest.as_bytes().as_slice())
            .execute(&mut **transaction)
            .await?;
        if named.rows_affected() != 1 {
            let blob = blob_bytes::name(digest);
            return Err(StoreError::Unavailable(format!("{blob} is not there whole and cannot be named")));
        }
    }
    Ok(())
}

async fn begin(connection: &mut PgConnection, digest: BlobDigest, size: usize) -> Result<i64, StoreError> {
    let blob = sqlx::query_scalar(
        "INSERT INTO blobs (digest, size, complete, claims, touched_at) VALUES ($1, $2, FALSE, 0, micros())
         RETURNING id",
    )
    .bind(digest.as_bytes().as_slice())
    .bind(size as i64)
    .fetch_one(connection)
    .await?;
    Ok(blob)
}

/// Makes an upload the blob of its digest; `false` if another was faster: that one is claimed then.
async fn complete(transaction: &mut WriteTransaction, digest: BlobDigest, blob: i64) -> Result<bool, StoreError> {
    // Two uploads of the same bytes take turns here; the number is as good as the digest for that.
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
        .execute(&mut **transaction)
        .await?;
    if claim(transaction, digest).await? {
        sqlx::query("DELETE FROM blobs WHERE id = $1").bind(blob).execute(&mut **transaction).await?;
        return Ok(false);
    }
    let completed = sqlx::query("UPDATE blobs SET complete = TRUE, claims = 1, touched_at = micros() WHERE id = $1")
        .bind(blob)
        .execute(&mut **transaction)
        .await?;
    if completed.rows_affected() == 1 {
        Ok(true)
    } else {
        Err(StoreError::Unavailable(format!("{} took too long to be written", blob_bytes::name(digest))))
    }
}

async fn claim(connection: &mut PgConnection, digest: BlobDigest) -> Result<bool, StoreError> {
    let claimed =
        sqlx::query("UPDATE blobs SET claims = claims + 1, touched_at = micros() WHERE digest = $1 AND complete")
            .bind(digest.as_bytes().as_slice())
            .execute(connection)
            .await?;
    Ok(claimed.rows_affected() == 1)
}
