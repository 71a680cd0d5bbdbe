//! Every complete blob: its bytes, wherever they lie, are those of its digest.

use sha2::{Digest, Sha256};

use super::super::objects::ObjectReader;
use super::super::raw::{Cell, Raw};
use super::{Report, Verifier};
use crate::registry::BlobDigest;
use crate::store::failure::broken_off;
use crate::store::objects::{ObjectName, PlacedBlob};
use crate::store::values::digest;
use crate::stream::StoreError;

/// Blobs listed at once.
const BLOBS_AT_ONCE: i64 = 100;

/// Holds every complete blob against its digest, a part in memory at a time.
pub(super) async fn check(raw: &mut Raw, verifier: Verifier<'_>, report: &mut Report) -> Result<(), StoreError> {
    let objects = ObjectReader::new(raw).await?;
    let mut last = i64::MIN;
    loop {
        let page = raw
            .rows(
                "SELECT blobs.id, digest, size, place_id, url FROM blobs LEFT JOIN blob_places ON blob_places.id = place_id
                 WHERE complete AND blobs.id > $1 ORDER BY blobs.id LIMIT $2",
                &[Cell::Integer(last), Cell::Integer(BLOBS_AT_ONCE)],
            )
            .await?;
        if page.is_empty() {
            return Ok(());
        }
        for row in page {
            last = row[0].integer();
            (verifier.progress)("blob", report.blobs.unsigned_abs());
            let what = format!("blob {last}");
            let expected = digest(row[1].bytes(), &what)?;
            let fault = match row[3].number() {
                None => check_parts(raw, last, expected, row[2].integer()).await?,
                Some(place) => {
                    let blob = PlacedBlob { name: ObjectName { digest: expected, row: last }, place };
                    match objects.get(&blob, row[4].text()).await {
                        Ok(Some(bytes)) if bytes.len() as i64 == row[2].integer() => None,
                        Ok(Some(_)) => Some("has another size than its row says".to_owned()),
                        Ok(None) => Some("has no object".to_owned()),
                        Err(StoreError::Damaged(_)) => Some("has other bytes than those of its digest".to_owned()),
                        Err(error) => return Err(error),
                    }
                }
            };
            let Some(fault) = fault else {
                report.blobs += 1;
                report.blob_bytes += row[2].integer();
                continue;
            };
            // A sweep may have taken it meanwhile.
            if raw.integer("SELECT COUNT(*) FROM blobs WHERE id = $1", &[Cell::Integer(last)]).await? == 1 {
                report.faults.push(format!("{what} ({}) {fault}", expected.to_hex()));
            }
        }
    }
}

async fn check_parts(raw: &mut Raw, blob: i64, expected: BlobDigest, size: i64) -> Result<Option<String>, StoreError> {
    let mut hash = Sha256::new();
    let mut length = 0;
    for part in 0.. {
        let arguments = [Cell::Integer(blob), Cell::Integer(part)];
        let mut rows = raw.rows("SELECT bytes FROM blob_parts WHERE blob_id = $1 AND part = $2", &arguments).await?;
        let Some(Cell::Bytes(bytes)) = rows.pop().and_then(|mut row| row.pop()) else { break };
        length += bytes.len() as i64;
        let hashing = move || {
            hash.update(&bytes);
            hash
        };
        hash = tokio::task::spawn_blocking(hashing).await.map_err(broken_off)?;
    }
    if length != size {
        return Ok(Some(format!("has {length} bytes and should have {size}")));
    }
    let sound = BlobDigest::from_bytes(hash.finalize().into()) == expected;
    Ok((!sound).then(|| "has other bytes than those of its digest".to_owned()))
}
