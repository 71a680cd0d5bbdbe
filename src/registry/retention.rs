//! Retention: which versions keep their weights. A function of what is known of the versions.
//!
//! The newest keep theirs, then ever fewer: as many in every doubling of age, so that a life of n versions keeps
//! O(log n) of them. What an alias or a lineage needs is spared. A version that this gives up is never wanted again:
//! what is kept at one time was kept at every time before. A version's row is never dropped, only its weights; called
//! by the stores' `sweep_weights`.

use std::collections::BTreeSet;

use super::version::{Cause, VersionId};

/// How many versions keep their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest, all of which are kept; at least 1.
    pub newest: usize,
    /// Of the older ones, about so many in every doubling of age; 0: none.
    pub per_doubling: usize,
    /// The newest moves of every alias whose targets are kept.
    pub alias_moves: usize,
}

impl Retention {
    /// The newest versions and nothing older but what is needed.
    pub fn newest(newest: usize) -> Self {
        Self { newest, per_doubling: 0, alias_moves: 0 }
    }
}

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

/// The versions among `kept` whose weights may go, in order. `needed` are those that aliases, pins, the aliases' newest
/// moves and the trainer need; the teachers and students of growths are spared beside them.
///
/// A growth's teacher is its student's parent, whatever the teacher's own cause: one that was a version already is not
/// published again for the growth.
pub fn droppable(kept: &[Kept], needed: &BTreeSet<VersionId>, retention: &Retention) -> Vec<VersionId> {
    let Some(newest) = kept.iter().map(|version| version.version).max() else { return Vec::new() };
    let mut spared = needed.clone();
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
    let goes = |version: &VersionId| !spared.contains(version) && !retention.keeps(*version, newest);
    let mut gone: Vec<VersionId> = kept.iter().map(|version| version.version).filter(goes).collect();
    gone.sort_unstable();
    gone
}

impl Retention {
    /// Whether a version is kept for its age alone, by number, while `newest` is the newest.
    ///
    /// In the `k`th doubling of age those are kept whose number is a multiple of a power of two. The powers never fall
    /// with age, and a multiple of a larger one is a multiple of the smaller, so whoever is kept there was kept before.
    fn keeps(&self, version: VersionId, newest: VersionId) -> bool {
        let full = self.newest.max(1) as u64;
        let age = newest.0.saturating_sub(version.0);
        if age < full {
            return true;
        }
        if self.per_doubling == 0 {
            return false;
        }
        let doubling = (age / full).ilog2();
        let span = full.saturating_mul(1_u64.checked_shl(doubling).unwrap_or(u64::MAX));
        let step = span.div_ceil(self.per_doubling as u64).checked_next_power_of_two();
        step.is_some_and(|step| version.0.is_multiple_of(step))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::growth::GrowthOp;

    fn trained(version: u64) -> Kept {
        Kept { version: VersionId(version), parent: version.checked_sub(1).map(VersionId), cause: Cause::Trained }
    }

    fn versions(numbers: &[u64]) -> Vec<VersionId> {
        numbers.iter().copied().map(VersionId).collect()
    }

    fn newest(count: usize) -> Retention {
        Retention::newest(count)
    }

    #[test]
    fn only_the_newest_keep_their_weights() {
        let kept: Vec<Kept> = (1..=5).map(trained).collect();
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(2)), versions(&[1, 2, 3]));
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(5)), versions(&[]));
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(0)), versions(&[1, 2, 3, 4]), "the newest always stays");
        assert_eq!(droppable(&[], &BTreeSet::new(), &newest(1)), versions(&[]));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter() {
        let kept: Vec<Kept> = [3, 1, 5, 2, 4].map(trained).into();
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(2)), versions(&[1, 2, 3]));
    }

    #[test]
    fn what_is_needed_keeps_its_weights() {
        let kept: Vec<Kept> = (1..=5).map(trained).collect();
        assert_eq!(droppable(&kept, &BTreeSet::from([VersionId(2)]), &newest(1)), versions(&[1, 3, 4]));
    }

    #[test]
    fn teachers_and_students_keep_their_weights() {
        let mut kept: Vec<Kept> = (1..=7).map(trained).collect();
        kept[1].cause = Cause::Teacher { op: GrowthOp::Wider };
        kept[2].cause = Cause::Growth { op: GrowthOp::Wider, trigger: "policy".into() };
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(1)), versions(&[1, 4, 5, 6]));
    }

    #[test]
    fn a_teacher_that_was_a_trained_version_keeps_its_weights() {
        let mut kept: Vec<Kept> = (1..=5).map(trained).collect();
        kept[3] = Kept {
            version: VersionId(4),
            parent: Some(VersionId(2)),
            cause: Cause::Growth { op: GrowthOp::Deeper, trigger: "manual".into() },
        };
        assert_eq!(droppable(&kept, &BTreeSet::new(), &newest(1)), versions(&[1, 3]));
    }

    #[test]
    fn older_versions_stand_ever_further_apart() {
        let kept: Vec<Kept> = (1..=64).map(trained).collect();
        let retention = Retention { newest: 4, per_doubling: 2, alias_moves: 0 };
        let gone: BTreeSet<VersionId> = droppable(&kept, &BTreeSet::new(), &retention).into_iter().collect();
        let left: Vec<u64> = (1..=64).filter(|&number| !gone.contains(&VersionId(number))).collect();
        assert_eq!(left, [16, 32, 40, 48, 52, 56, 58, 60, 61, 62, 63, 64]);
    }

    fn retentions() -> impl Strategy<Value = Retention> {
        (1usize..12, 0usize..6).prop_map(|(newest, per_doubling)| Retention { newest, per_doubling, alias_moves: 0 })
    }

    /// What happens in a life between two sweeps.
    #[derive(Debug, Clone)]
    enum Happening {
        Trained,
        Grown,
        /// The alias moves to the kept version at this share of them.
        Moved(f64),
    }

    fn lives() -> impl Strategy<Value = Vec<Happening>> {
        let happening = prop_oneof![
            8 => Just(Happening::Trained),
            1 => Just(Happening::Grown),
            2 => (0.0..1.0).prop_map(Happening::Moved),
        ];
        proptest::collection::vec(happening, 1..120)
    }

    proptest! {
        #[test]
        fn whatever_happens_nothing_is_given_up_that_is_needed_or_wanted_again(
            retention in retentions(), life in lives(),
        ) {
            let mut kept = vec![trained(1)];
            let mut alias = VersionId(1);
            for happening in life {
                let next = kept.iter().map(|version| version.version.0).max().unwrap() + 1;
                match happening {
                    Happening::Trained => kept.push(trained(next)),
                    Happening::Grown => {
                        let cause = Cause::Growth { op: GrowthOp::Wider, trigger: "policy".into() };
                        kept.push(Kept { cause, ..trained(next) });
                    }
                    Happening::Moved(share) => alias = kept[(share * kept.len() as f64) as usize].version,
                }
                let before = kept.clone();
                let needed = BTreeSet::from([alias]);
                let gone = droppable(&kept, &needed, &retention);
                kept.retain(|version| !gone.contains(&version.version));
                // Idempotent: what is left is left.
                prop_assert_eq!(droppable(&kept, &needed, &retention), versions(&[]));
                let is_kept = |version: VersionId| kept.iter().any(|known| known.version == version);
                prop_assert!(is_kept(alias));
                for version in &before {
                    if matches!(version.cause, Cause::Growth { .. }) {
                        prop_assert!(is_kept(version.version), "a student");
                        let teacher = version.parent.unwrap();
                        prop_assert!(is_kept(teacher), "its teacher {} was there when it grew", teacher);
                    }
                }
            }
        }

        #[test]
        fn what_is_kept_later_was_kept_before_and_it_is_ever_fewer(
            retention in retentions(), life in 1u64..20_000,
        ) {
            let held = |newest: u64| (1..=newest).filter(move |&number| {
                retention.keeps(VersionId(number), VersionId(newest))
            });
            let later: BTreeSet<u64> = held(life).collect();
            for earlier in [life / 2, life.saturating_sub(1), life / 7] {
                let before: BTreeSet<u64> = held(earlier).collect();
                prop_assert!(later.iter().filter(|&&number| number <= earlier).all(|number| before.contains(number)));
            }
            let doublings = (life / retention.newest as u64).max(1).ilog2() as usize + 1;
            let bound = retention.newest + (retention.per_doubling + 1) * doublings;
            prop_assert!(later.len() <= bound, "{} of {life} versions, more than {bound}", later.len());
            prop_assert!(later.contains(&life));
        }
    }
}
