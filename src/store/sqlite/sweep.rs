//! Sweeping blobs: those that nothing names or claims any more.
//!
//! A blob's row goes first and its bytes then: parts a few in each transaction, so that no ingest commit waits long for
//! them, objects one by one. What a stopped process leaves has no row any more, and the next sweep finds it by that. While a
//! backup reads, no object is deleted.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::SqliteStore;
use super::blobs::CLAIM_LASTS;
use crate::registry::BlobDigest;
use crate::store::objects::{PlacedBlob, Remains};
use crate::store::values::{json, later, now};
use crate::stream::StoreError;

/// Parts that one transaction deletes.
const PARTS_AT_ONCE: i64 = 2;

/// Objects that one look at the rows decides about.
const OBJECTS_AT_ONCE: usize = 1_000;

impl SqliteStore {
    /// Deletes every blob that nothing names or claims, and the bytes of blobs that are gone.
    pub(super) async fn sweep_blobs(&self) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let rows = sqlx::query(
            "DELETE FROM blobs WHERE
             (complete = 0 AND touched_at < ?1) OR
             (complete = 1 AND (claims = 0 OR touched_at < ?1)
              AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = blobs.digest AND weights_kept = 1)
              AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = blobs.digest)
              AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = blobs.digest))
             RETURNING id, digest, place_id",
        )
        .bind(later(now(), -CLAIM_LASTS))
        .fetch_all(&mut *transaction)
        .await?;
        let mut gone = rows.iter().map(Remains::of).collect::<Result<Vec<_>, _>>()?;
        transaction.commit().await?;
        let orphans: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT blob_id FROM blob_parts WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = blob_id)",
        )
        .fetch_all(&self.readers)
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

    /// Deletes the bytes of blobs whose rows are gone. Objects that cannot be deleted now are found by a later sweep: whoever
    /// dropped their rows goes on, also while the object store is away.
    pub(super) async fn delete_bytes(&self, gone: &[Remains]) -> Result<(), StoreError> {
        let in_parts: Vec<i64> = gone.iter().filter(|blob| blob.object.is_none()).map(|blob| blob.id).collect();
        self.delete_parts(&in_parts).await?;
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
            let url: String = sqlx::query_scalar("SELECT url FROM blob_places WHERE id = ?")
                .bind(object.place)
                .fetch_one(&self.readers)
                .await?;
            self.places.delete(object, &url).await?;
        }
        Ok(())
    }

    async fn delete_parts(&self, blobs: &[i64]) -> Result<(), StoreError> {
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

    /// Deletes every object of ours that has no row: a row is there before its object, so one that was listed and has no row
    /// afterwards will never have one again.
    pub(super) async fn sweep_objects(&self) -> Result<(), StoreError> {
        let places: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, url FROM blob_places ORDER BY id").fetch_all(&self.readers).await?;
        for (place, url) in places {
            if self.objects_are_kept().await? {
                return Ok(());
            }
            for listed in self.places.list(place, &url).await?.chunks(OBJECTS_AT_ONCE) {
                let ids: Vec<i64> = listed.iter().map(|object| object.name.row).collect();
                let known: Vec<i64> =
                    sqlx::query_scalar("SELECT id FROM blobs WHERE id IN (SELECT value FROM json_each(?))")
                        .bind(json(&ids)?)
                        .fetch_all(&self.readers)
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
        let until: i64 = sqlx::query_scalar("SELECT kept_until FROM object_space").fetch_one(&self.readers).await?;
        Ok(until > now())
    }
}

/// Deletes a blob's row if nothing names or claims it any more; what is left then, for [`SqliteStore::delete_bytes`].
pub(super) async fn release(
    connection: &mut SqliteConnection,
    digest: BlobDigest,
) -> Result<Option<Remains>, StoreError> {
    let gone = sqlx::query(
        "DELETE FROM blobs WHERE digest = ?1 AND complete = 1 AND claims = 0
         AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.digest = ?1 AND weights_kept = 1)
         AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE weights = ?1)
         AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE optimizer = ?1)
         RETURNING id, digest, place_id",
    )
    .bind(digest.as_bytes().to_vec())
    .fetch_optional(connection)
    .await?;
    gone.as_ref().map(Remains::of).transpose()
}
