//! Sweeping blobs: those that nothing names or claims any more.
//!
//! A blob's row goes first and its bytes then: parts a few in each transaction, objects one by one. What a stopped process
//! leaves has no row any more, and the next sweep finds it by that. While a backup reads, no object is deleted.
//!
//! Whoever deletes a blob's row locks it first and looks in a statement of its own then whether anything names it: one
//! statement alone would look at the rows that name blobs as they stood when it began to wait for the lock.

use std::collections::BTreeSet;

use super::PostgresStore;
use super::blobs::CLAIM_LASTS;
use super::retry::retried;
use crate::registry::BlobDigest;
use crate::store::objects::{PlacedBlob, Remains};
use crate::store::values::later;
use crate::stream::StoreError;

/// Parts that one transaction deletes.
const PARTS_AT_ONCE: i64 = 8;

/// Objects that one look at the rows decides about.
const OBJECTS_AT_ONCE: usize = 1_000;

impl PostgresStore {
    /// Deletes these blobs where nothing names or claims them any more.
    pub(super) async fn release_blobs(&self, digests: impl IntoIterator<Item = BlobDigest>) -> Result<(), StoreError> {
        let digests: Vec<Vec<u8>> = digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect();
        if digests.is_empty() {
            return Ok(());
        }
        let gone = retried!(self.delete_unnamed(&digests))?;
        self.delete_bytes(&gone).await
    }

    /// Deletes every blob that nothing names or claims, and the bytes of blobs that are gone.
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
        let mut gone = retried!(self.delete_unnamed(&unnamed))?;
        gone.extend(retried!(self.delete_unfinished())?);
        let orphans: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT blob_id FROM blob_parts WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = blob_id)",
        )
        .fetch_all(&self.pool)
        .await?;
        gone.extend(orphans.into_iter().map(Remains::in_parts));
        self.delete_bytes(&gone).await?;
        if self.places.listing_is_due()
            && let Err(error) = self.sweep_objects().await
        {
            tracing::info!(%error, "objects without a row are left to a later sweep");
        }
        Ok(())
    }

    /// Deletes the rows of those among these blobs that nothing names or claims; what is left of them.
    async fn delete_unnamed(&self, digests: &[Vec<u8>]) -> Result<Vec<Remains>, StoreError> {
        let mut transaction = self.write().await?;
        let locked: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM blobs WHERE digest = ANY($1) AND complete AND (claims = 0 OR touched_at < micros() - $2)
             FOR UPDATE SKIP LOCKED",
        )
        .bind(digests)
        .bind(later(0, CLAIM_LASTS))
        .fetch_all(&mut *transaction)
        .await?;
        let rows = sqlx::query(
            "DELETE FROM blobs WHERE id = ANY($1)
             AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = blobs.digest AND weights_kept)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = blobs.digest)
             AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = blobs.digest)
             RETURNING id, digest, place_id",
        )
        .bind(locked)
        .fetch_all(&mut *transaction)
        .await?;
        let gone = rows.iter().map(Remains::of).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(gone)
    }

    /// Deletes the rows of puts that were broken off long ago; what is left of them.
    async fn delete_unfinished(&self) -> Result<Vec<Remains>, StoreError> {
        let mut transaction = self.write().await?;
        let rows = sqlx::query(
            "DELETE FROM blobs WHERE NOT complete AND touched_at < micros() - $1 RETURNING id, digest, place_id",
        )
        .bind(later(0, CLAIM_LASTS))
        .fetch_all(&mut *transaction)
        .await?;
        let gone = rows.iter().map(Remains::of).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(gone)
    }

    /// Deletes the bytes of blobs whose rows are gone. Objects that cannot be deleted now are found by a later sweep: whoever
    /// dropped their rows goes on, also while the object store is away.
    pub(super) async fn delete_bytes(&self, gone: &[Remains]) -> Result<(), StoreError> {
        let in_parts: Vec<i64> = gone.iter().filter(|blob| blob.object.is_none()).map(|blob| blob.id).collect();
        while !in_parts.is_empty() && retried!(self.delete_some_parts(&in_parts))? == PARTS_AT_ONCE as u64 {}
        let objects: Vec<&PlacedBlob> = gone.iter().filter_map(|blob| blob.object.as_ref()).collect();
        if let Err(error) = self.delete_objects(&objects).await {
            tracing::info!(%error, "objects of blobs that are gone are left to a later sweep");
        }
        Ok(())
    }

    async fn delete_objects(&self, objects: &[&PlacedBlob]) -> Result<(), StoreError> {
        if objects.is_empty() || self.objects_are_kept().await? {
            return Ok(());
        }
        for object in objects {
            let url: String = sqlx::query_scalar("SELECT url FROM blob_places WHERE id = $1")
                .bind(object.place)
                .fetch_one(&self.pool)
                .await?;
            self.places.delete(object, &url).await?;
        }
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

    /// Deletes every object of ours that has no row: a row is there before its object, so one that was listed and has no row
    /// afterwards will never have one again.
    pub(super) async fn sweep_objects(&self) -> Result<(), StoreError> {
        let places: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, url FROM blob_places ORDER BY id").fetch_all(&self.pool).await?;
        for (place, url) in places {
            if self.objects_are_kept().await? {
                return Ok(());
            }
            for listed in self.places.list(place, &url).await?.chunks(OBJECTS_AT_ONCE) {
                let ids: Vec<i64> = listed.iter().map(|object| object.name.row).collect();
                let known: Vec<i64> = sqlx::query_scalar("SELECT id FROM blobs WHERE id = ANY($1)")
                    .bind(ids)
                    .fetch_all(&self.pool)
                    .await?;
                let known: BTreeSet<i64> = known.into_iter().collect();
                for object in listed.iter().filter(|object| !known.contains(&object.name.row)) {
                    self.places.delete(object, &url).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a backup needs objects whose rows may be gone. Asked after the rows went: a backup says so before it looks.
    async fn objects_are_kept(&self) -> Result<bool, StoreError> {
        let kept = sqlx::query_scalar("SELECT kept_until > micros() FROM object_space").fetch_one(&self.pool).await?;
        Ok(kept)
    }
}
