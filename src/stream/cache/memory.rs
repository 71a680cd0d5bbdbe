//! Rows in memory, by their place: what the trainer replays without asking the store.
//!
//! Bounded by bytes; the row that was not used for the longest time leaves first. The same calls leave the same rows.
//! Every call takes constant time, apart from the rows that leave. Owned by one trainer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::stream::example::{Label, Pixels, StoredExample, Value};
use crate::stream::ids::Seq;

/// A bounded cache of stored examples, least recently used out first.
#[derive(Debug)]
pub struct RowCache {
    limit: usize,
    bytes: usize,
    places: HashMap<Seq, usize>,
    slots: Vec<Slot>,
    /// Slots that hold nothing.
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
}

/// One example, in a list from the most to the least recently used.
#[derive(Debug)]
struct Slot {
    seq: Seq,
    example: Option<Arc<StoredExample>>,
    bytes: usize,
    newer: Option<usize>,
    older: Option<usize>,
}

impl RowCache {
    /// An empty cache for about this many bytes of rows ([`approximate_bytes`]).
    pub fn new(bytes: usize) -> Self {
        Self {
            limit: bytes,
            bytes: 0,
            places: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
        }
    }

    /// Keeps an example as the most recently used, instead of any other at this place. One that is larger than the
    /// whole cache is not kept.
    pub fn insert(&mut self, seq: Seq, example: Arc<StoredExample>) {
        self.remove(seq);
        let bytes = approximate_bytes(&example);
        if bytes > self.limit {
            return;
        }
        while self.bytes > self.limit - bytes
            && let Some(oldest) = self.oldest
        {
            self.remove(self.slots[oldest].seq);
        }
        let slot = Slot { seq, example: Some(example), bytes, newer: None, older: None };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(seq, index);
        self.bytes += bytes;
        self.link_as_newest(index);
    }

    /// The example at this place, which is the most recently used from now on.
    pub fn get(&mut self, seq: Seq) -> Option<Arc<StoredExample>> {
        let index = *self.places.get(&seq)?;
        self.unlink(index);
        self.link_as_newest(index);
        self.slots[index].example.clone()
    }

    /// The example at this place, as recently used as it was.
    pub fn peek(&self, seq: Seq) -> Option<&StoredExample> {
        self.slots[*self.places.get(&seq)?].example.as_deref()
    }

    /// Keeps nothing any more.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// How many examples are kept.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What the kept examples take, by [`approximate_bytes`]; never more than the cache was made for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the example at this place.
    pub fn remove(&mut self, seq: Seq) {
        if let Some(index) = self.places.remove(&seq) {
            self.unlink(index);
            self.slots[index].example = None;
            self.bytes -= self.slots[index].bytes;
            self.free.push(index);
        }
    }

    fn link_as_newest(&mut self, index: usize) {
        self.slots[index].newer = None;
        self.slots[index].older = self.newest;
        match self.newest {
            Some(newest) => self.slots[newest].newer = Some(index),
            None => self.oldest = Some(index),
        }
        self.newest = Some(index);
    }

    fn unlink(&mut self, index: usize) {
        let Slot { newer, older, .. } = self.slots[index];
        match newer {
            Some(newer) => self.slots[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.slots[older].newer = newer,
            None => self.oldest = newer,
        }
    }
}

/// What an example takes in memory, near enough: its values with their contents, id and label, and a fixed share for
/// the cache's own slot, its entry in the map and the allocator's rounding.
pub fn approximate_bytes(example: &StoredExample) -> usize {
    const OVERHEAD: usize = 256;
    let contents = |value: &Value| match value {
        Value::Missing | Value::Number(_) | Value::Time(_) => 0,
        Value::Category(text) | Value::Text(text) => text.len(),
        Value::Vector(numbers) | Value::Image(Pixels::Floats(numbers)) => 4 * numbers.len(),
        Value::Image(Pixels::Bytes(pixels)) => pixels.len(),
    };
    let label = match &example.label {
        Label::Class(class) => class.len(),
        Label::Number(_) => 0,
    };
    let row: usize = example.row.iter().map(|value| size_of::<Value>() + contents(value)).sum();
    OVERHEAD + label + example.id.as_ref().map_or(0, String::len) + row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example(seq: u64, pixels: usize) -> Arc<StoredExample> {
        let row = vec![Value::Image(Pixels::Bytes(vec![0; pixels]))];
        Arc::new(StoredExample { seq: Seq(seq), id: None, row, label: Label::Number(0.0) })
    }

    fn keep(cache: &mut RowCache, seq: u64) {
        cache.insert(Seq(seq), example(seq, 100));
    }

    fn cache_for(examples: usize) -> RowCache {
        RowCache::new(examples * approximate_bytes(&example(1, 100)))
    }

    #[test]
    fn the_least_recently_used_row_leaves_first() {
        let mut cache = cache_for(3);
        (1..=3).for_each(|seq| keep(&mut cache, seq));
        assert_eq!(cache.get(Seq(1)).unwrap().seq, Seq(1));
        keep(&mut cache, 4);
        assert_eq!(cache.get(Seq(2)), None);
        keep(&mut cache, 1);
        keep(&mut cache, 5);
        let kept: Vec<bool> = (1..=5).map(|seq| cache.get(Seq(seq)).is_some()).collect();
        assert_eq!(kept, [true, false, false, true, true]);
    }

    #[test]
    fn a_row_larger_than_the_cache_is_not_kept_and_drives_nothing_out() {
        let mut cache = cache_for(2);
        keep(&mut cache, 1);
        cache.insert(Seq(2), example(2, 10_000));
        assert_eq!((cache.get(Seq(2)), cache.len()), (None, 1));
        let mut nothing = RowCache::new(0);
        keep(&mut nothing, 1);
        assert!(nothing.is_empty());
    }

    #[test]
    fn the_size_of_a_row_grows_with_its_contents() {
        let sizes = [0, 784, 10_000].map(|pixels| approximate_bytes(&example(1, pixels)));
        assert_eq!(sizes[1] - sizes[0], 784);
        assert_eq!(sizes[2] - sizes[0], 10_000);
    }

    proptest! {
        #[test]
        fn it_keeps_what_a_plain_list_would(
            calls in prop::collection::vec((any::<bool>(), 0u64..12, 0usize..600), 0..200),
            limit in 0usize..4_000,
        ) {
            let mut cache = RowCache::new(limit);
            // The most recently used is last.
            let mut list: Vec<Arc<StoredExample>> = Vec::new();
            for (is_insert, seq, pixels) in calls {
                let at = list.iter().position(|example| example.seq == Seq(seq));
                if is_insert {
                    let example = example(seq, pixels);
                    cache.insert(Seq(seq), example.clone());
                    at.map(|at| list.remove(at));
                    if approximate_bytes(&example) <= limit {
                        list.push(example);
                    }
                    while list.iter().map(|example| approximate_bytes(example)).sum::<usize>() > limit {
                        list.remove(0);
                    }
                } else {
                    let kept = at.map(|at| list.remove(at));
                    list.extend(kept.clone());
                    prop_assert_eq!(cache.get(Seq(seq)), kept);
                }
                prop_assert_eq!(cache.len(), list.len());
                prop_assert_eq!(cache.bytes(), list.iter().map(|example| approximate_bytes(example)).sum::<usize>());
                prop_assert!(cache.bytes() <= limit);
            }
        }
    }
}
