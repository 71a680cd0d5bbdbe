//! From the numbers of an old parameter to those of the grown one: gathered along both axes and, where copies share, split,
//! or, where they are moments, scaled.
//!
//! Row-major numbers on the CPU, whatever the device, so that a growth gives the same bits everywhere. Every number is
//! written once, in order, a stripe of rows at a time, and changed while it is still in the cache: in parallel over rows,
//! of which none depends on another. Used by `apply` for weights, statistics and moments alike.

use rayon::prelude::*;

use crate::compute::vectors::{Loop, widest};

use super::mapping::{GrownAxis, ParameterMaps, Run};
use super::shares::Sharing;

/// How many numbers one task takes at least: less is not worth a thread's attention.
const TASK: usize = 1 << 15;
/// How many numbers are gathered before they are changed, for every thread: a quarter of a megabyte stays in its cache.
const STRIPE: usize = 1 << 16;

/// What happens to gathered numbers.
pub(super) enum Change<'a> {
    /// The copies of what is consumed share it.
    Share(&'a Sharing),
    /// Every index of an axis is multiplied by its factor.
    Scale { axis: usize, factors: &'a [f64] },
}

/// A parameter on its new axes: every index a copy of its source, 0 where there is none, and then changed. `dims` are the
/// old sizes.
pub(super) fn regrow(old: &[f32], dims: &[usize], maps: &ParameterMaps, change: Option<&Change>) -> Vec<f32> {
    let new_dims = maps.dims(dims);
    let size = new_dims.iter().product();
    let mut numbers = Vec::with_capacity(size);
    let (first, second) = match (&maps.out, &maps.input) {
        (Some(out), Some(input)) if input.axis < out.axis => (Some(input), out),
        (Some(out), Some(input)) => (Some(out), input),
        (Some(only), None) | (None, Some(only)) => (None, only),
        (None, None) => return old.to_vec(),
    };
    if size == 0 {
        return numbers;
    }
    let changing = change.map(|change| Changing::new(change, &new_dims, maps));
    let gathering = Gathering::new(dims, first, second);
    // What is changed as a whole lies within one stripe.
    let whole = changing.as_ref().map_or(1, |changing| changing.part.div_ceil(gathering.new_block));
    let stripe = STRIPE * rayon::current_num_threads();
    let blocks = (stripe / gathering.new_block).max(1).next_multiple_of(whole);
    while numbers.len() < size {
        let start = numbers.len();
        let at = start / gathering.new_block;
        (at..(at + blocks).min(size / gathering.new_block))
            .for_each(|block| gathering.append(old, block, &mut numbers));
        if let Some(changing) = &changing {
            changing.run(&mut numbers[start..], start);
        }
    }
    numbers
}

/// The geometry of a gather along a second axis and perhaps a first, outer one.
struct Gathering<'a> {
    /// The first axis; every block is of its own source without one.
    first: Option<&'a GrownAxis>,
    /// How many numbers an index of the first axis holds in the old parameter, and in the new.
    old_block: usize,
    new_block: usize,
    /// The second axis as runs; how many numbers one of its indices holds, and all of its old ones.
    runs: &'a [Run],
    inner: usize,
    old_line: usize,
}

impl<'a> Gathering<'a> {
    fn new(dims: &[usize], first: Option<&'a GrownAxis>, second: &'a GrownAxis) -> Self {
        let inner = dims[second.axis + 1..].iter().product::<usize>();
        let old_line = second.old * inner;
        let lines: usize = first.map_or(1, |first| dims[first.axis + 1..second.axis].iter().product());
        let new_block = lines * second.sources.len() * inner;
        Self { first, old_block: lines * old_line, new_block, runs: &second.runs, inner, old_line }
    }

    /// Writes one block behind those before it.
    fn append(&self, old: &[f32], block: usize, numbers: &mut Vec<f32>) {
        let Some(source) = self.source(block) else {
            return numbers.resize(numbers.len() + self.new_block, 0.0);
        };
        for line in old[source * self.old_block..][..self.old_block].chunks_exact(self.old_line) {
            for run in self.runs {
                let length = run.length * self.inner;
                match run.from {
                    Some(from) => numbers.extend_from_slice(&line[from * self.inner..][..length]),
                    None => numbers.resize(numbers.len() + length, 0.0),
                }
            }
        }
    }

    /// The old block that a new one comes from.
    fn source(&self, block: usize) -> Option<usize> {
        match self.first {
            None => Some(block),
            Some(map) => {
                let (run, index) = (block / map.sources.len(), block % map.sources.len());
                map.sources[index].map(|source| run * map.old + source)
            }
        }
    }
}

/// A change with the geometry of its axis.
struct Changing<'a> {
    change: &'a Change<'a>,
    /// How many numbers are changed as a whole: a run along the axis of copies, or what has one factor.
    part: usize,
}

impl<'a> Changing<'a> {
    fn new(change: &'a Change<'a>, dims: &[usize], maps: &ParameterMaps) -> Self {
        let behind = |axis: usize| dims[axis + 1..].iter().product::<usize>();
        let part = match change {
            Change::Share(_) => maps.input.as_ref().map_or(1, |input| dims[input.axis] * behind(input.axis)),
            Change::Scale { axis, .. } => behind(*axis),
        };
        Self { change, part }
    }

    /// Changes numbers that begin at `start` in the parameter.
    fn run(&self, numbers: &mut [f32], start: usize) {
        let parts = (TASK / self.part).max(1) * self.part;
        if numbers.len() < 2 * TASK || rayon::current_num_threads() == 1 {
            return self.parts(numbers, start);
        }
        let tasks = numbers.par_chunks_mut(parts).enumerate();
        tasks.for_each(|(task, numbers)| self.parts(numbers, start + task * parts));
    }

    fn parts(&self, numbers: &mut [f32], start: usize) {
        match self.change {
            Change::Share(sharing) => sharing.split(numbers, self.part, start),
            Change::Scale { factors, .. } => {
                widest(Scale { factors, part: self.part, start, numbers });
            }
        }
    }
}

/// Every part times the factor of its index.
struct Scale<'a> {
    factors: &'a [f64],
    part: usize,
    start: usize,
    numbers: &'a mut [f32],
}

impl Loop for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let first = self.start / self.part;
        for (part, numbers) in self.numbers.chunks_mut(self.part).enumerate() {
            let factor = self.factors[(first + part) % self.factors.len()];
            numbers.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
        }
    }
}

/// Replaces the numbers at new indices of an axis, those without a source, by what `draw` gives, in order.
pub(super) fn fill_new(numbers: &mut [f32], dims: &[usize], map: &GrownAxis, mut draw: impl FnMut() -> f32) {
    let inner = dims[map.axis + 1..].iter().product::<usize>().max(1);
    for run in numbers.chunks_exact_mut((map.sources.len() * inner).max(1)) {
        let indices = run.chunks_exact_mut(inner).zip(&map.sources);
        for (numbers, _) in indices.filter(|(_, source)| source.is_none()) {
            numbers.iter_mut().for_each(|number| *number = draw());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::mapping::Stretch;
    use super::super::request::Split;
    use super::*;

    fn map(axis: usize, old: usize, sources: &[Option<usize>]) -> GrownAxis {
        GrownAxis::by_hand(axis, old, sources, Vec::new())
    }

    fn axis() -> impl Strategy<Value = (usize, Vec<Option<usize>>)> {
        (1usize..4).prop_flat_map(|old| {
            let source = prop_oneof![4 => (0..old).prop_map(Some), 1 => Just(None)];
            (Just(old), proptest::collection::vec(source, 1..6))
        })
    }

    proptest! {
        #[test]
        fn every_new_number_is_that_of_its_source_on_both_axes(
            around in proptest::array::uniform3(1usize..4),
            one in axis(),
            other in axis(),
            (with_out, with_input) in (any::<bool>(), any::<bool>()),
            out_first: bool,
        ) {
            let dims = [around[0], one.0, around[1], other.0, around[2]];
            let (first, second) = (map(1, one.0, &one.1), map(3, other.0, &other.1));
            let (out, input) = if out_first { (first, second) } else { (second, first) };
            let maps = ParameterMaps { out: with_out.then_some(out), input: with_input.then_some(input) };
            let old: Vec<f32> = (1..=dims.iter().product::<usize>()).map(|number| number as f32).collect();
            let new = regrow(&old, &dims, &maps, None);
            let new_dims = maps.dims(&dims);
            prop_assert_eq!(new.len(), new_dims.iter().product::<usize>());
            for (at, &number) in new.iter().enumerate() {
                let (mut rest, mut source, mut stride) = (at, Some(0), 1);
                for axis in (0..5).rev() {
                    let index = rest % new_dims[axis];
                    rest /= new_dims[axis];
                    let from = maps.iter().find(|map| map.axis == axis).map_or(Some(index), |map| map.sources[index]);
                    source = source.zip(from).map(|(sum, from)| sum + from * stride);
                    stride *= dims[axis];
                }
                prop_assert_eq!(number, source.map_or(0.0, |source| old[source]));
            }
        }
    }

    fn maps(out: GrownAxis) -> ParameterMaps {
        ParameterMaps { out: Some(out), input: None }
    }

    #[test]
    fn large_parameters_are_gathered_in_stripes_to_the_same_numbers() {
        let sources: Vec<Option<usize>> = (0..600).map(|index| Some(index * 7 % 300)).collect();
        let old: Vec<f32> = (0..300 * 500).map(|number| number as f32).collect();
        let new = regrow(&old, &[300, 500], &maps(map(0, 300, &sources)), None);
        assert!((0..600).all(|row| new[row * 500..][..500] == old[row * 7 % 300 * 500..][..500]));
    }

    #[test]
    fn scaling_multiplies_every_index_by_its_own_factor() {
        let old = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let factors = [1.0, 10.0];
        let same = maps(map(1, 2, &[Some(0), Some(1)]));
        let new = regrow(&old, &[2, 2, 2], &same, Some(&Change::Scale { axis: 1, factors: &factors }));
        assert_eq!(new, [1.0, 2.0, 30.0, 40.0, 5.0, 6.0, 70.0, 80.0]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (old, units) = (700usize, 350usize);
        let sources: Vec<Option<usize>> = (0..old + units).map(|index| Some(index % old)).collect();
        let families = vec![Stretch { first: vec![0, old], length: units }];
        let doubled = |axis: usize| GrownAxis::by_hand(axis, old, &sources, families.clone());
        let numbers: Vec<f32> = (0..old * old).map(|number| (number as f32).sin()).collect();
        for (out, input) in [(0, 1), (1, 0)] {
            let maps = ParameterMaps { out: Some(doubled(out)), input: Some(doubled(input)) };
            let places = doubled(input).places(if input == 0 { old + units } else { 1 });
            let sharing = Sharing::new(Split::Replicate, places, (1, "test"), &numbers).unwrap();
            let grown = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| regrow(&numbers, &[old, old], &maps, Some(&Change::Share(&sharing))))
            };
            let (one, four) = (grown(1), grown(4));
            assert!(one.iter().zip(&four).all(|(one, four)| one.to_bits() == four.to_bits()));
            let at = |row: usize, column: usize| {
                let (out_index, input_index) = if out == 0 { (row, column) } else { (column, row) };
                one[out_index * (old + units) + input_index]
            };
            assert!(
                (0..old).all(|row| at(row, 3) + at(row, old + 3)
                    == numbers[if out == 0 { row * old + 3 } else { 3 * old + row }])
            );
        }
    }
}
