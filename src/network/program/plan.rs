//! Where in the block everything lies: nothing overlaps while both live, and what is dead makes room.
//!
//! Lives are intervals over the steps of the program. Places are given in order of birth, each the smallest gap that
//! holds it.

use std::collections::BTreeMap;

use super::arena::Slot;
use super::layout::LINE;

/// Something that wants a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub per_row: usize,
    pub per_batch: usize,
    /// The first moment at which it is written.
    pub born: usize,
    /// The last at which it is read.
    pub dies: usize,
}

/// Where everything lies, in order of the wants, and how long the block is, for up to `rows` rows.
pub(super) fn plan(wants: &[Wanted], rows: usize) -> (Vec<Slot>, usize) {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|&at| wants[at].born);
    let mut slots = vec![Slot::default(); wants.len()];
    let mut gaps = Gaps::default();
    let mut deaths: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for at in order {
        let want = wants[at];
        let alive = deaths.split_off(&want.born);
        for (start, size) in std::mem::replace(&mut deaths, alive).into_values().flatten() {
            gaps.free(start, size);
        }
        let size = (want.per_row * rows + want.per_batch).next_multiple_of(LINE);
        let start = if size == 0 { 0 } else { gaps.take(size) };
        slots[at] = Slot { start, per_row: want.per_row, per_batch: want.per_batch };
        if size > 0 {
            deaths.entry(want.dies).or_default().push((start, size));
        }
    }
    (slots, gaps.end)
}

/// The gaps between what lives, by where they start, and where the block ends.
#[derive(Default)]
struct Gaps {
    sizes: BTreeMap<usize, usize>,
    end: usize,
}

impl Gaps {
    fn take(&mut self, size: usize) -> usize {
        let fitting = self.sizes.iter().filter(|&(_, &gap)| gap >= size).min_by_key(|&(_, &gap)| gap);
        if let Some((&start, &gap)) = fitting {
            self.sizes.remove(&start);
            if gap > size {
                self.sizes.insert(start + size, gap - size);
            }
            return start;
        }
        // A gap at the end grows.
        let last = self.sizes.last_key_value().map(|(&start, &gap)| (start, gap));
        let start = match last.filter(|(start, gap)| start + gap == self.end) {
            Some((start, _)) => {
                self.sizes.remove(&start);
                start
            }
            None => self.end,
        };
        self.end = start + size;
        start
    }

    fn free(&mut self, mut start: usize, mut size: usize) {
        if let Some((&before, &gap)) = self.sizes.range(..start).next_back()
            && before + gap == start
        {
            self.sizes.remove(&before);
            (start, size) = (before, gap + size);
        }
        if let Some(gap) = self.sizes.remove(&(start + size)) {
            size += gap;
        }
        self.sizes.insert(start, size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_lives_at_one_time_never_overlaps(
            wants in prop::collection::vec((0usize..40, 0usize..9, 0usize..30, 0usize..20), 1..40),
            rows in 1usize..5,
        ) {
            let wanted = |(per_row, per_batch, born, life)| Wanted { per_row, per_batch, born, dies: born + life };
            let wants: Vec<Wanted> = wants.into_iter().map(wanted).collect();
            let (slots, length) = plan(&wants, rows);
            for (a, first) in wants.iter().enumerate() {
                let size = |want: &Wanted| want.per_row * rows + want.per_batch;
                prop_assert!(slots[a].start + size(first) <= length);
                for (b, second) in wants.iter().enumerate().skip(a + 1) {
                    let together = first.born <= second.dies && second.born <= first.dies;
                    let apart = slots[a].start + size(first) <= slots[b].start
                        || slots[b].start + size(second) <= slots[a].start;
                    prop_assert!(!together || apart || size(first) == 0 || size(second) == 0);
                }
            }
        }
    }

    #[test]
    fn a_chain_of_values_needs_room_for_two() {
        let wants: Vec<Wanted> =
            (0..10).map(|born| Wanted { per_row: 100, per_batch: 0, born, dies: born + 1 }).collect();
        assert_eq!(plan(&wants, 16).1, 2 * 1600);
    }
}
