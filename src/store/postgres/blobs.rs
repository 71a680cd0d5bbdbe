//! Blobs: written before anything names them, in parts or as an object, and named by commits.
//!
//! A put writes under a number of its own and becomes the blob of its digest with its last part, in one transaction:
//! nobody sees half of it. An object is written between two such transactions: its row is there before it and complete after
//! it. From then on the blob is *claimed* until a commit names it, so no sweep ([`super::sweep`]) can come between a put and
//! its commit; the commit checks again, in its transaction, that the blob is there. A claim whose process died ends after
//! [`CLAIM_LASTS`].
//!
//! Whoever names a blob locks its row until the commit. Blobs are named in order of digest and deleted in transactions of
//! their own that skip what is locked, so neither waits in a circle.

use sqlx::PgConnection;
use time::Duration;

use super::PostgresStore;
use super::retry::retried;
use super::write::WriteTransaction;
use crate::registry::BlobDigest;
use crate::store::blob_bytes::{self, Reading, digest_of};
use crate::store::columns::Columns as _;
use crate::store::failure::damaged;
use crate::store::objects::{ObjectName, Place, PlacedBlob, Remains};
use crate::store::values::number;
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

impl PostgresStore {
    pub(super) async fn write_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = digest_of(bytes).await?;
        if retried!(self.claim_blob(digest))? {
            return Ok(digest);
        }
        match self.places.current() {
            Some(place) => self.write_object(place, digest, bytes).await?,
            None => self.write_parts(digest, bytes).await?,
        }
        Ok(digest)
    }

    async fn write_parts(&self, digest: BlobDigest, bytes: &[u8]) -> Result<(), StoreError> {
        let mut blob = None;
        let parts = blob_bytes::parts(bytes);
        let last = parts.len() - 1;
        for (place, part) in parts.into_iter().enumerate() {
            let mut transaction = self.write().await?;
            let number = match blob {
                Some(number) => number,
                None => *blob.insert(begin(&mut transaction, digest, bytes.len(), None).await?),
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
                self.delete_bytes(&[Remains::in_parts(number)]).await?;
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
        let mut last = None;
        loop {
            // One snapshot: a sweep in between is not seen.
            let mut snapshot = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let Some(found) = find(&mut snapshot, digest).await? else { return Ok(None) };
            let Some((place, url)) = &found.place else {
                let bytes = read_parts(&mut snapshot, digest, &found).await?;
                snapshot.rollback().await?;
                return Ok(Some(bytes));
            };
            // No transaction waits for an object store. If the object is gone, so is its row, or another came.
            snapshot.rollback().await?;
            let blob = PlacedBlob { name: ObjectName { digest, row: found.id }, place: *place };
            if let Some(bytes) = self.places.get(&blob, url).await? {
                return Ok(Some(bytes));
            }
            if last == Some(found.id) {
                return Err(damaged(blob_bytes::name(digest), "its object is not there"));
            }
            last = Some(found.id);
        }
    }

    /// Claims a complete blob for the caller's coming commit; `false` if there is none.
    async fn claim_blob(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let claimed = claim(&mut transaction, digest).await?;
        transaction.commit().await?;
        Ok(claimed)
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

async fn find(connection: &mut PgConnection, digest: BlobDigest) -> Result<Option<Found>, StoreError> {
    let found = sqlx::query(
        "SELECT blobs.id, size, place_id, url FROM blobs LEFT JOIN blob_places ON blob_places.id = place_id
         WHERE digest = $1 AND complete",
    )
    .bind(digest.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let place = match row.optional_integer("place_id")? {
        Some(place) => Some((place, row.text("url")?.to_owned())),
        None => None,
    };
    let size = number(row.integer("size")?, blob_bytes::name(digest))?;
    Ok(Some(Found { id: row.integer("id")?, size, place }))
}

/// Reads the parts of a blob and verifies its digest.
async fn read_parts(connection: &mut PgConnection, digest: BlobDigest, found: &Found) -> Result<Vec<u8>, StoreError> {
    let mut reading = Reading::default();
    for place in 0i64.. {
        let part: Option<Vec<u8>> = sqlx::query_scalar("SELECT bytes FROM blob_parts WHERE blob_id = $1 AND part = $2")
            .bind(found.id)
            .bind(place)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(part) = part else { break };
        reading.take(part).await?;
    }
    reading.finish(found.size, digest)
}

async fn begin(
    connection: &mut PgConnection,
    digest: BlobDigest,
    size: usize,
    place: Option<i64>,
) -> Result<i64, StoreError> {
    let blob = sqlx::query_scalar(
        "INSERT INTO blobs (digest, size, complete, claims, touched_at, place_id)
         VALUES ($1, $2, FALSE, 0, micros(), $3) RETURNING id",
    )
    .bind(digest.as_bytes().as_slice())
    .bind(size as i64)
    .bind(place)
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
