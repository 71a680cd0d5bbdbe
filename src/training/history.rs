//! The index of what was seen: which places of the stream are learned from, which are held out, which are tombstones, and
//! where every class stands.
//!
//! A value that the trainer rebuilds from places and labels at its start and appends to as rows come: a function of the
//! stream alone. Corrections bring it to exactly what a rebuild from the corrected stream gives. Every question takes the
//! newest place that may be looked at, so an answer never depends on rows that came later. Memory: eight bytes a row (and
//! the spare room of growing lists), and a tree's node for every run of tombstones. Called by the trainer only.

use std::collections::BTreeMap;

use crate::stream::{Label, LearnerName, Seq};

/// Which places of a stream are evaluated and never learned: a fixed share, by hash of the learner's name and the place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holdout {
    key: u64,
    share: f64,
}

/// What was seen, by class. Regression has one class, the empty text.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    holdout: Holdout,
    head: Seq,
    learned: BTreeMap<String, Vec<u64>>,
    held_out: Vec<u64>,
    /// Runs of tombstones, from the first place of each to its last; no two touch.
    deleted: BTreeMap<u64, u64>,
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
        Self { holdout, head: Seq(0), learned: BTreeMap::new(), held_out: Vec::new(), deleted: BTreeMap::new() }
    }

    /// Takes what stands at the next places, labels or tombstones; places at or before [`History::head`] are ignored, so
    /// handing rows over twice is harmless.
    pub fn append<'a>(&mut self, places: impl IntoIterator<Item = (Seq, Option<&'a Label>)>) {
        for (seq, label) in places {
            if seq <= self.head {
                continue;
            }
            self.head = seq;
            let Some(label) = label else {
                self.bury(seq.0);
                continue;
            };
            if self.holdout.contains(seq) {
                self.held_out.push(seq.0);
                continue;
            }
            match self.learned.get_mut(class_of(label)) {
                Some(places) => places.push(seq.0),
                None => {
                    self.learned.insert(class_of(label).to_owned(), vec![seq.0]);
                }
            }
        }
    }

    /// Takes what stands at these places now, after corrections; those behind the head are not seen yet and ignored.
    /// The time is that of one look at every list in which something changes.
    pub fn correct(&mut self, now: &BTreeMap<Seq, Option<Label>>) {
        let corrected: Vec<u64> = now.range(..=self.head).map(|(seq, _)| seq.0).collect();
        for list in self.learned.values_mut().chain([&mut self.held_out]) {
            take_out(list, &corrected);
        }
        let mut back: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut held_out = Vec::new();
        for (seq, label) in now.range(..=self.head) {
            match label {
                None => self.bury(seq.0),
                Some(_) if self.holdout.contains(*seq) => held_out.push(seq.0),
                Some(label) => back.entry(class_of(label)).or_default().push(seq.0),
            }
        }
        put_in(&mut self.held_out, &held_out);
        for (class, places) in back {
            put_in(self.learned.entry(class.to_owned()).or_default(), &places);
        }
        self.learned.retain(|_, places| !places.is_empty());
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
        self.learned_places(first, last).collect()
    }

    /// The same, one after the other.
    pub(super) fn learned_places(&self, first: Seq, last: Seq) -> impl Iterator<Item = Seq> {
        let last = last.min(self.head).0;
        let mut next = first.0.max(1);
        // A run that began before may reach into the range.
        if let Some(end) = self.run_around(next).map(|(_, end)| end) {
            next = end + 1;
        }
        let runs = self.deleted.range(next.min(last + 1)..last + 1).map(|(&from, &to)| (from, to));
        let runs = runs.chain([(last + 1, last + 1)]);
        let between = runs.scan(next, |next, (from, to)| {
            let gap = *next..from;
            *next = to + 1;
            Some(gap)
        });
        between.flatten().map(Seq).filter(|&seq| !self.holdout.contains(seq))
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

    /// The newest learned place at or before `at`, or, if there is none, the first after it up to `until`.
    pub(super) fn learned_near(&self, at: Seq, until: Seq) -> Option<Seq> {
        let until = until.min(self.head).0;
        let at = at.0.min(until);
        let mut place = at;
        while place > 0 {
            match self.run_around(place) {
                Some((first, _)) => place = first - 1,
                None if self.holdout.contains(Seq(place)) => place -= 1,
                None => return Some(Seq(place)),
            }
        }
        self.learned_places(Seq(at + 1), Seq(until)).next()
    }

    /// The run of tombstones that a place lies in.
    fn run_around(&self, place: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.deleted.range(..=place).next_back()?;
        (place <= last).then_some((first, last))
    }

    /// A tombstone stands at this place.
    fn bury(&mut self, place: u64) {
        if self.run_around(place).is_some() {
            return;
        }
        let before = place.checked_sub(1).and_then(|before| self.run_around(before));
        let first = before.map_or(place, |(first, _)| first);
        let last = self.deleted.remove(&(place + 1)).unwrap_or(place);
        self.deleted.insert(first, last);
    }
}

/// The class that a label counts under.
fn class_of(label: &Label) -> &str {
    match label {
        Label::Class(class) => class,
        Label::Number(_) => "",
    }
}

/// Takes these places, in order, out of a list in order.
fn take_out(list: &mut Vec<u64>, places: &[u64]) {
    if !places.iter().any(|place| list.binary_search(place).is_ok()) {
        return;
    }
    let mut rest = places.iter().peekable();
    list.retain(|place| {
        while rest.next_if(|gone| *gone < place).is_some() {}
        rest.peek() != Some(&place)
    });
}

/// Puts these places, in order and none of them there, into a list in order.
fn put_in(list: &mut Vec<u64>, places: &[u64]) {
    let Some(first) = places.first() else { return };
    let mut later = list.split_off(list.partition_point(|place| place < first));
    later.extend_from_slice(places);
    // Two runs in order: the sort merges them.
    later.sort();
    list.append(&mut later);
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
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> LearnerName {
        LearnerName::parse(text).unwrap()
    }

    fn history(rows: u64, share: f64) -> History {
        let mut history = History::new(Holdout::new(&name("digits"), share));
        let labels: Vec<Label> = (1..=rows).map(|seq| Label::Class((seq % 3).to_string())).collect();
        history.append((1..=rows).map(Seq).zip(labels.iter().map(Some)));
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
        history.append((1..=50).map(|seq| (Seq(seq), Some(&label))));
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

    proptest! {
        #[test]
        fn corrections_make_what_a_rebuild_from_the_corrected_stream_makes(
            classes in prop::collection::vec(0u8..4, 1..200),
            batches in prop::collection::vec(prop::collection::vec((1u64..260, prop::option::of(0u8..5)), 0..40), 0..5),
            share in prop::sample::select(vec![0.0, 0.1, 0.5]),
            until in 0u64..220,
        ) {
            let holdout = Holdout::new(&name("digits"), share);
            let label = |class: u8| Label::Class(class.to_string());
            let mut stream: Vec<Option<Label>> = classes.iter().map(|&class| Some(label(class))).collect();
            let places = |stream: &[Option<Label>]| -> Vec<(Seq, Option<Label>)> {
                (1..).map(Seq).zip(stream.iter().cloned()).collect()
            };
            let rebuilt = |stream: &[Option<Label>]| {
                let mut history = History::new(holdout);
                let places = places(stream);
                history.append(places.iter().map(|(seq, label)| (*seq, label.as_ref())));
                history
            };
            let mut history = rebuilt(&stream);
            for batch in batches {
                let mut now = BTreeMap::new();
                for (place, class) in batch {
                    let standing = stream.get_mut(place as usize - 1);
                    // What is deleted stays deleted.
                    let label = match &standing {
                        Some(None) => None,
                        _ => class.map(label),
                    };
                    if let Some(standing) = standing {
                        standing.clone_from(&label);
                    }
                    now.insert(Seq(place), label);
                }
                history.correct(&now);
                prop_assert_eq!(&history, &rebuilt(&stream));
            }
            let learned = |seq: &u64| stream[*seq as usize - 1].is_some() && !holdout.contains(Seq(*seq));
            let last = stream.len() as u64;
            let expected: Vec<Seq> = (until.max(1)..=last).filter(learned).map(Seq).collect();
            prop_assert_eq!(history.learned_between(Seq(until), Seq(last)), expected);
            let near = (1..=until.min(last)).rev().find(learned).or_else(|| (until + 1..=last).find(learned));
            prop_assert_eq!(history.learned_near(Seq(until), Seq(last)), near.map(Seq));
        }
    }
}
