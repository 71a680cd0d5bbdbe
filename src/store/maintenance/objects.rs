//! Reading objects of a database without its store.

use super::raw::{Cell, Raw};
use crate::registry::BlobDigest;
use crate::store::objects::{ObjectName, PlacedBlob, Places};
use crate::stream::StoreError;

/// The object stores of one database, opened as they are needed.
pub(super) struct ObjectReader {
    places: Places,
}

impl ObjectReader {
    /// The objects of this connection's database.
    pub(super) async fn new(raw: &mut Raw) -> Result<Self, StoreError> {
        let row = raw.row("SELECT namespace FROM object_space", &[]).await?;
        Ok(Self { places: Places::new(row[0].text().to_owned(), None) })
    }

    /// An object whose digest is verified; `None`: it is not there.
    pub(super) async fn get(&self, blob: &PlacedBlob, url: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.places.get(blob, url).await
    }
}

/// A blob's bytes, wherever they lie; `None`: it is not there whole.
pub(super) async fn blob(raw: &mut Raw, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = raw
        .rows(
            "SELECT blobs.id, place_id, url FROM blobs LEFT JOIN blob_places ON blob_places.id = place_id
             WHERE digest = $1 AND complete",
            &[Cell::Bytes(digest.as_bytes().to_vec())],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = row[0].integer();
    if let Some(place) = row[1].number() {
        let reader = ObjectReader::new(raw).await?;
        return reader.get(&PlacedBlob { name: ObjectName { digest, row: id }, place }, row[2].text()).await;
    }
    let mut bytes = Vec::new();
    for part in raw.rows("SELECT bytes FROM blob_parts WHERE blob_id = $1 ORDER BY part", &[Cell::Integer(id)]).await? {
        bytes.extend_from_slice(part[0].bytes());
    }
    Ok(Some(bytes))
}
