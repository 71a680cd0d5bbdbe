//! What is live of every learner can be loaded: its document and its weights make a network that answers.

use super::super::objects::blob;
use super::super::raw::{Cell, Raw};
use super::{Report, Verifier};
use crate::registry::{BlobDigest, Version, VersionId};
use crate::store::values::{digest, document, number, time};
use crate::stream::{Seq, StoreError};

/// Loads the live version of every learner of the report.
pub(super) async fn check(raw: &mut Raw, verifier: Verifier<'_>, report: &mut Report) -> Result<(), StoreError> {
    for learner in report.learners.iter().map(|learner| learner.id).collect::<Vec<_>>() {
        (verifier.progress)("live version of learner", learner.unsigned_abs());
        // `live` may move between two looks; what it names now is looked at.
        let Some(version) = live(raw, learner, &mut report.faults).await? else { continue };
        let number = version.version;
        let fault = match blob(raw, version.digest).await? {
            // Blobs that are not there or damaged have been named.
            None => continue,
            Some(bytes) if BlobDigest::of(&bytes) != version.digest => continue,
            Some(bytes) => (verifier.loads)(version, &bytes),
        };
        if let Err(reason) = fault {
            report
                .faults
                .push(format!("learner {learner}: version {number}, which is live, cannot be loaded: {reason}"));
        }
    }
    Ok(())
}

/// The version that `live` names; a row that cannot be read is a fault.
async fn live(raw: &mut Raw, learner: i64, faults: &mut Vec<String>) -> Result<Option<Version>, StoreError> {
    let rows = raw
        .rows(
            "SELECT versions.version, parent, cause, trained_seq, versions.created_at, metrics, digest, model
             FROM aliases JOIN versions
             ON versions.learner_id = aliases.learner_id AND versions.version = aliases.version AND weights_kept
             WHERE aliases.learner_id = $1 AND alias = 'live'",
            &[Cell::Integer(learner)],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    match read(learner, row) {
        Ok(version) => Ok(Some(version)),
        Err(StoreError::Damaged(reason)) => {
            faults.push(reason);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read(learner: i64, row: &[Cell]) -> Result<Version, StoreError> {
    let what = format!("version {} of learner {learner}", row[0].integer());
    Ok(Version {
        version: VersionId(number(row[0].integer(), &what)?),
        parent: row[1].number().map(|parent| number(parent, &what)).transpose()?.map(VersionId),
        cause: document(row[2].text(), &what)?,
        trained_seq: Seq(number(row[3].integer(), &what)?),
        created_at: time(row[4].integer(), &what)?,
        metrics: document(row[5].text(), &what)?,
        digest: digest(row[6].bytes(), &what)?,
        model: document(row[7].text(), &what)?,
        weights_kept: true,
    })
}
