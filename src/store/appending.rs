//! What a call of `append` does, decided from what the store knows: every store reads, decides here, and writes.
//!
//! Requests are taken in order. Places are given only to examples that are new, from the head on, so `seq` is dense.
//! What is known must be read, and what is decided written, under one lock of the learners' heads. For the stores alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::placement::{Placement, Standing};
use crate::stream::{Append, AppendRefusal, Appended, EncodedExample, IdempotencyKey, LearnerId, Seq};

/// What was answered under an idempotency key.
pub(super) struct Remembered {
    pub(super) body: Vec<u8>,
    pub(super) answer: Appended,
}

/// What the store knows of the learners of a call.
#[derive(Default)]
pub(super) struct Known {
    /// The heads of those that are there.
    pub(super) heads: BTreeMap<LearnerId, u64>,
    /// Which of the offered ids each has, and where.
    pub(super) ids: HashMap<LearnerId, HashMap<String, Standing>>,
    /// Which of the offered keys each has.
    pub(super) answers: HashMap<(LearnerId, String), Remembered>,
}

/// The new examples of one learner; their places follow each other.
pub(super) struct Addition<'r> {
    pub(super) first: Seq,
    pub(super) examples: Vec<&'r EncodedExample>,
}

/// An answer to keep under its key.
pub(super) struct Keep<'r> {
    pub(super) learner: LearnerId,
    pub(super) key: &'r IdempotencyKey,
    pub(super) answer: Appended,
}

/// What is to be written and answered.
#[derive(Default)]
pub(super) struct Decided<'r> {
    /// One for each request, in order.
    pub(super) answers: Vec<Result<Appended, AppendRefusal>>,
    /// The learners whose heads move.
    pub(super) additions: BTreeMap<LearnerId, Addition<'r>>,
    /// What takes the places of others, some of which may be among the additions: written after them.
    pub(super) replacements: BTreeMap<LearnerId, BTreeMap<Seq, &'r EncodedExample>>,
    /// The answers to keep.
    pub(super) keys: Vec<Keep<'r>>,
}

/// The query for the heads of the learners of a call, each once and in the order in which heads are locked. Its learners stand
/// in its text, so that it can travel with the `BEGIN`.
pub(super) fn heads_query(requests: &[Append]) -> String {
    let learners: BTreeSet<i64> = requests.iter().map(|request| request.learner.0).collect();
    let learners = learners.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    format!("SELECT learner_id, head FROM streams WHERE learner_id IN ({learners}) ORDER BY learner_id")
}

/// The ids that a call offers, each with its learner.
pub(super) fn ids(requests: &[Append]) -> impl Iterator<Item = (LearnerId, &str)> {
    requests.iter().flat_map(|request| {
        let ids = request.examples.iter().filter_map(|example| example.id.as_deref());
        ids.map(|id| (request.learner, id))
    })
}

/// The keys that a call offers, each with its learner.
pub(super) fn keys(requests: &[Append]) -> impl Iterator<Item = (LearnerId, &IdempotencyKey)> {
    requests.iter().filter_map(|request| Some((request.learner, request.key.as_ref()?)))
}

/// Decides what becomes of these requests.
pub(super) fn decide(requests: &[Append], mut known: Known) -> Decided<'_> {
    let mut decided = Decided::default();
    for request in requests {
        let answer = decide_one(request, &mut known, &mut decided);
        decided.answers.push(answer);
    }
    decided
}

fn decide_one<'r>(
    request: &'r Append,
    known: &mut Known,
    decided: &mut Decided<'r>,
) -> Result<Appended, AppendRefusal> {
    let learner = request.learner;
    let head = known.heads.get_mut(&learner).ok_or(AppendRefusal::LearnerGone)?;
    if let Some(key) = &request.key
        && let Some(earlier) = known.answers.get(&(learner, key.key.clone()))
    {
        return if earlier.body == key.body { Ok(earlier.answer.clone()) } else { Err(AppendRefusal::KeyReused) };
    }
    let ids = known.ids.entry(learner).or_default();
    let of_request = request.examples.iter().filter_map(|example| example.id.as_ref());
    let standing = of_request.filter_map(|id| Some((id.clone(), *ids.get(id)?))).collect();
    let first = Seq(*head + 1);
    let mut placement = Placement::after(Seq(*head), request.existing, standing);
    for example in &request.examples {
        placement.take(example.id.clone(), example);
    }
    let answer = Appended { covers: request.covers.clone(), ..placement.answer() };
    *head = answer.head_seq.0;
    for (seq, example) in (first.0..).zip(&placement.new) {
        // For the requests behind this one it is as good as stored.
        ids.extend(example.id.as_ref().map(|id| (id.clone(), Standing::Stored(Seq(seq)))));
    }
    if !placement.new.is_empty() {
        let addition = decided.additions.entry(learner).or_insert_with(|| Addition { first, examples: Vec::new() });
        addition.examples.extend(placement.new);
    }
    if !placement.replacements.is_empty() {
        decided.replacements.entry(learner).or_default().extend(placement.replacements);
    }
    if let Some(key) = &request.key {
        let remembered = Remembered { body: key.body.to_vec(), answer: answer.clone() };
        known.answers.insert((learner, key.key.clone()), remembered);
        decided.keys.push(Keep { learner, key, answer: answer.clone() });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stream::{Existing, Label};

    fn offered(learner: i64, ids: &[Option<u8>]) -> Append {
        let example = |id: &Option<u8>| EncodedExample {
            id: id.map(|id| id.to_string()),
            label: Label::Number(0.0),
            row: Vec::new(),
        };
        let examples = ids.iter().map(example).collect();
        Append { learner: LearnerId(learner), key: None, existing: Existing::Keep, examples, covers: None }
    }

    proptest! {
        #[test]
        fn whatever_is_offered_places_are_dense_and_every_id_is_stored_once(
            calls in proptest::collection::vec((0i64..3, proptest::collection::vec(proptest::option::of(0u8..9), 0..9)), 0..9),
            head in 0u64..9,
            stored in proptest::collection::hash_set(0u8..9, 0..5),
        ) {
            let requests: Vec<Append> = calls.iter().map(|(learner, ids)| offered(*learner, ids)).collect();
            let standing = stored.iter().map(|id| (id.to_string(), Standing::Stored(Seq(1))));
            let stored: HashMap<String, Standing> = standing.collect();
            let mut known = Known::default();
            for learner in [0, 1].map(LearnerId) {
                known.heads.insert(learner, head);
                known.ids.insert(learner, stored.clone());
            }
            let decided = decide(&requests, known);
            let mut next = BTreeMap::from([(0, head + 1), (1, head + 1)]);
            for ((learner, ids), answer) in calls.iter().zip(&decided.answers) {
                let Ok(answer) = answer else {
                    prop_assert_eq!(*learner, 2, "only a learner that is gone is refused");
                    continue;
                };
                prop_assert_eq!(answer.accepted + answer.duplicates, ids.len() as u64);
                let next = next.get_mut(learner).unwrap();
                prop_assert_eq!(answer.first_seq, (answer.accepted > 0).then_some(Seq(*next)));
                *next += answer.accepted;
                prop_assert_eq!(answer.head_seq, Seq(*next - 1));
            }
            for (learner, addition) in &decided.additions {
                prop_assert_eq!(addition.first, Seq(head + 1));
                prop_assert_eq!(head + addition.examples.len() as u64, next[&learner.0] - 1);
                let mut seen = stored.clone();
                for id in addition.examples.iter().filter_map(|example| example.id.clone()) {
                    prop_assert!(seen.insert(id, Standing::New(0)).is_none(), "an id is stored once");
                }
            }
        }
    }
}
