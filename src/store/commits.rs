//! What a trainer's commit touches: the blobs that it names and what it tells. For the stores alone.

use crate::registry::BlobDigest;
use crate::stream::LearnerId;
use crate::training::{Change, Checkpoint, Commit, NewVersion};

/// Every blob that these rows name, as often as they name it.
pub(super) fn mentions(checkpoint: &Checkpoint, versions: &[NewVersion]) -> impl Iterator<Item = BlobDigest> {
    versions.iter().map(|version| version.digest).chain([checkpoint.weights, checkpoint.optimizer])
}

/// What others want to know of a commit.
pub(super) fn changes(learner: LearnerId, commit: &Commit) -> impl Iterator<Item = Change> {
    let told = [
        commit.live.is_some().then_some(Change::Alias(learner)),
        commit.schema.is_some().then_some(Change::Learner(learner)),
        (!commit.tickets.is_empty()).then_some(Change::Order(learner)),
    ];
    told.into_iter().flatten()
}
