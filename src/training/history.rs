//! The index of what was seen: which places of the stream are learned from, which are held out, and where every class stands.
//!
//! A value that the trainer rebuilds from `(Seq, Label)` pairs at its start and appends to as rows come: a function of
//! the stream alone. Every question takes the newest place that may be looked at, so an answer never depends on rows that
//! came later. Memory: eight bytes a row (and the spare room of growing lists). Called by the trainer only.

use std::collections::BTreeMap;

use crate::stream::{Label, LearnerName, Seq};

/// Which places of a stream are evaluated and never learned: a fixed share, by hash of the learner's name and the place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holdout {
    key: u64,
    share: f64,
}

/// What was seen, by class. Regression has one class, the empty text.
#[derive(Debug, Clone)]
pub struct History {
    holdout: Holdout,
    head: Seq,
    learned: BTreeMap<String, Vec<u64>>,
    held_out: Vec<u64>,
}

impl Holdout {
    /// The holdout of a learner; `share` in [0, 1).
    pub fn new(learner: &LearnerName, share: f64) -> Self {
        // FNV-1a: the key only has to differ between names; `mix` does the rest.
        let key = learner.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { key, share }
    }

    /// Whether this place is held out. The hash is part of the stored format: it decides what was learned.
    pub fn contains(&self, seq: Seq) -> bool {
        let bits = mix(self.key ^ mix(seq.0));
        // 53 bits make every uniform number of [0, 1) that an f64 can tell apart.
        let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
        uniform < self.share
    }
}

impl History {
    /// A history that has seen nothing.
    pub fn new(holdout: Holdout) -> Self {
        Self { holdout, head: Seq(0), learned: BTreeMap::new(), held_out: Vec::new() }
    }

    /// Takes the next rows; places at or before [`History::head`] are ignored, so handing rows over twice is harmless.
    pub fn append<'a>(&mut self, rows: impl IntoIterator<Item = (Seq, &'a Label)>) {
        for (seq, label) in rows {
            if seq <= self.head {
                continue;
            }
            self.head = seq;
            if self.holdout.contains(seq) {
                self.held_out.push(seq.0);
                continue;
            }
            let class = match label {
                Label::Class(class) => class.as_str(),
                Label::Number(_) => "",
            };
            match self.learned.get_mut(class) {
                Some(places) => places.push(seq.0),
                None => {
                    self.learned.insert(class.to_owned(), vec![seq.0]);
                }
            }
        }
    }

    /// The newest place seen; 0 before the first.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The holdout.
    pub fn holdout(&self) -> Holdout {
        self.holdout
    }

    /// The places of `first..=last` that are learned from, in order.
    pub fn learned_between(&self, first: Seq, last: Seq) -> Vec<Seq> {
        let last = last.min(self.head);
        (first.0.max(1)..=last.0).map(Seq).filter(|&seq| !self.holdout.contains(seq)).collect()
    }

    /// How many rows up to `until` are learned from.
    pub fn learned_count(&self, until: Seq) -> usize {
        self.classes(until).map(<[u64]>::len).sum()
    }

    /// The newest held-out places up to `until`, at most `rows`, in order of place: what the gate measures.
    pub fn newest_holdout(&self, until: Seq, rows: usize) -> Vec<Seq> {
        let seen = up_to(&self.held_out, until);
        seen[seen.len().saturating_sub(rows)..].iter().copied().map(Seq).collect()
    }

    /// The learned places of every class that appeared up to `until`, in order of the classes' texts; none is empty.
    pub(super) fn classes(&self, until: Seq) -> impl Iterator<Item = &[u64]> {
        self.learned.values().map(move |places| up_to(places, until)).filter(|places| !places.is_empty())
    }

    /// The newest learned place at or before `at`, or, if there is none, the newest up to `until`.
    pub(super) fn learned_near(&self, at: Seq, until: Seq) -> Option<Seq> {
        let learned = |place: &u64| !self.holdout.contains(Seq(*place));
        let until = until.min(self.head).0;
        let at = at.0.min(until);
        (1..=at).rev().find(learned).or_else(|| (at + 1..=until).rev().find(learned)).map(Seq)
    }
}

/// The finalizer of splitmix64 (Steele, Lea and Flood 2014): every input bit moves every output bit.
pub(super) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn up_to(places: &[u64], until: Seq) -> &[u64] {
    &places[..places.partition_point(|&place| place <= until.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LearnerName {
        LearnerName::parse(text).unwrap()
    }

    fn history(rows: u64, share: f64) -> History {
        let mut history = History::new(Holdout::new(&name("digits"), share));
        let labels: Vec<Label> = (1..=rows).map(|seq| Label::Class((seq % 3).to_string())).collect();
        history.append((1..=rows).map(Seq).zip(&labels));
        history
    }

    #[test]
    fn the_holdout_is_the_asked_share_of_the_stream() {
        let holdout = Holdout::new(&name("digits"), 0.05);
        let held = (1..=100_000).filter(|&seq| holdout.contains(Seq(seq))).count();
        assert!((4_700..5_300).contains(&held), "{held}");
        let none = Holdout::new(&name("digits"), 0.0);
        assert!((1..=10_000).all(|seq| !none.contains(Seq(seq))));
    }

    #[test]
    fn the_holdout_is_fixed_for_ever() {
        let holdout = Holdout::new(&name("digits"), 0.05);
        let held: Vec<u64> = (1..=100).filter(|&seq| holdout.contains(Seq(seq))).collect();
        assert_eq!(held, [22, 37, 42, 43]);
    }

    #[test]
    fn two_learners_hold_out_different_rows() {
        let (one, other) = (Holdout::new(&name("a"), 0.5), Holdout::new(&name("b"), 0.5));
        let differ = (1..=1_000).filter(|&seq| one.contains(Seq(seq)) != other.contains(Seq(seq))).count();
        assert!((400..600).contains(&differ), "{differ}");
    }

    #[test]
    fn every_row_is_either_learned_or_held_out() {
        let history = history(500, 0.1);
        let learned = history.learned_between(Seq(1), Seq(500));
        let held = history.newest_holdout(Seq(500), 500);
        assert_eq!(learned.len() + held.len(), 500);
        assert_eq!(history.learned_count(Seq(500)), learned.len());
        assert!(held.iter().all(|seq| !learned.contains(seq)));
    }

    #[test]
    fn rows_that_came_later_change_no_answer() {
        let (short, long) = (history(200, 0.1), history(900, 0.1));
        let until = Seq(200);
        assert_eq!(short.learned_count(until), long.learned_count(until));
        assert_eq!(short.newest_holdout(until, 10), long.newest_holdout(until, 10));
        assert!(short.classes(until).eq(long.classes(until)));
    }

    #[test]
    fn rows_handed_over_twice_count_once() {
        let mut history = history(50, 0.1);
        let before = history.learned_count(Seq(50));
        let label = Label::Class("0".into());
        history.append((1..=50).map(|seq| (Seq(seq), &label)));
        assert_eq!(history.learned_count(Seq(50)), before);
        assert_eq!(history.head(), Seq(50));
    }

    #[test]
    fn the_newest_holdout_rows_come_in_order_and_no_more_than_asked() {
        let history = history(1_000, 0.1);
        let held = history.newest_holdout(Seq(900), 20);
        assert_eq!(held.len(), 20);
        assert!(held.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(held.iter().all(|&seq| seq <= Seq(900) && history.holdout().contains(seq)));
    }
}
