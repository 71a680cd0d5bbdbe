//! Retention: which versions keep their weights. A function of what is known of the versions.
//!
//! A version's row is never dropped, only its weights; called by the stores' `sweep_weights`.

use std::collections::BTreeSet;

use super::version::{Cause, VersionId};

/// What retention looks at in a version that has its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub version: VersionId,
    /// The version it came from.
    pub parent: Option<VersionId>,
    /// Why it exists.
    pub cause: Cause,
}

/// The versions among `kept` whose weights may go, in order: all but the newest `newest`, the teachers and students of
/// growths, and what an alias names.
///
/// A growth's teacher is its student's parent, whatever the teacher's own cause: one that was a version already is not
/// published again for the growth.
pub fn droppable(kept: &[Kept], aliased: &BTreeSet<VersionId>, newest: usize) -> Vec<VersionId> {
    let mut numbers: Vec<VersionId> = kept.iter().map(|version| version.version).collect();
    numbers.sort_unstable();
    let old = numbers.len().saturating_sub(newest);
    let mut spared = aliased.clone();
    for version in kept {
        match version.cause {
            Cause::Growth { .. } => {
                spared.insert(version.version);
                spared.extend(version.parent);
            }
            Cause::Teacher { .. } => {
                spared.insert(version.version);
            }
            Cause::Created | Cause::Trained => {}
        }
    }
    numbers.truncate(old);
    numbers.retain(|version| !spared.contains(version));
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::GrowthOp;

    fn trained(version: u64) -> Kept {
        Kept { version: VersionId(version), parent: version.checked_sub(1).map(VersionId), cause: Cause::Trained }
    }

    fn versions(numbers: &[u64]) -> Vec<VersionId> {
        numbers.iter().copied().map(VersionId).collect()
    }

    #[test]
    fn only_the_newest_keep_their_weights() {
        let kept: Vec<Kept> = (1..=5).map(trained).collect();
        assert_eq!(droppable(&kept, &BTreeSet::new(), 2), versions(&[1, 2, 3]));
        assert_eq!(droppable(&kept, &BTreeSet::new(), 5), versions(&[]));
        assert_eq!(droppable(&kept, &BTreeSet::new(), 0), versions(&[1, 2, 3, 4, 5]));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter() {
        let kept: Vec<Kept> = [3, 1, 5, 2, 4].map(trained).into();
        assert_eq!(droppable(&kept, &BTreeSet::new(), 2), versions(&[1, 2, 3]));
    }

    #[test]
    fn what_an_alias_names_keeps_its_weights() {
        let kept: Vec<Kept> = (1..=5).map(trained).collect();
        assert_eq!(droppable(&kept, &BTreeSet::from([VersionId(2)]), 1), versions(&[1, 3, 4]));
    }

    #[test]
    fn teachers_and_students_keep_their_weights() {
        let mut kept: Vec<Kept> = (1..=7).map(trained).collect();
        kept[1].cause = Cause::Teacher { op: GrowthOp::Wider };
        kept[2].cause = Cause::Growth { op: GrowthOp::Wider, trigger: "policy".into() };
        assert_eq!(droppable(&kept, &BTreeSet::new(), 1), versions(&[1, 4, 5, 6]));
    }

    #[test]
    fn a_teacher_that_was_a_trained_version_keeps_its_weights() {
        let mut kept: Vec<Kept> = (1..=5).map(trained).collect();
        kept[3] = Kept {
            version: VersionId(4),
            parent: Some(VersionId(2)),
            cause: Cause::Growth { op: GrowthOp::Deeper, trigger: "manual".into() },
        };
        assert_eq!(droppable(&kept, &BTreeSet::new(), 1), versions(&[1, 3]));
    }
}
