//! From the numbers of an old parameter to those of the grown one: gathered along both axes and, where copies share, split,
//! in one pass over the new numbers.
//!
//! Row-major numbers on the CPU, whatever the device, so that a growth gives the same bits everywhere; in parallel over
//! rows, of which none depends on another. Used by `apply` for weights, statistics and moments alike.

use candle_core::{Storage, Tensor};
use rayon::prelude::*;

use super::mapping::{AxisMap, ParameterMaps, Run};
use super::shares::Sharing;

/// How many numbers one task takes at least: less is not worth a thread's attention.
const TASK: usize = 1 << 15;

/// The numbers of a tensor, lent to a function; copied only where they are not on the CPU in order.
pub(super) fn lend<R>(tensor: &Tensor, use_numbers: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
            return Ok(use_numbers(&storage.as_slice::<f32>()?[start..end]));
        }
    }
    Ok(use_numbers(&tensor.flatten_all()?.to_vec1::<f32>()?))
}

/// A parameter on its new axes: every index a copy of its source, 0 where there is none, and what copies consume shared
/// among them if `sharing` says how. `dims` are the old sizes.
pub(super) fn regrow(old: &[f32], dims: &[usize], maps: &ParameterMaps, sharing: Option<&Sharing>) -> Vec<f32> {
    let new_dims = maps.dims(dims);
    let mut numbers = vec![0.0; new_dims.iter().product()];
    if numbers.is_empty() {
        return numbers;
    }
    let (first, second) = match (&maps.out, &maps.input) {
        (Some(out), Some(input)) if input.axis < out.axis => (Some(input), Some(out)),
        (out, input) => (out.as_ref(), input.as_ref()),
    };
    let input_is_last = second.is_some_and(|second| maps.input.as_ref().is_some_and(|input| input.axis == second.axis));
    let gathering = Gathering::new(dims, first, second);
    let shared = sharing.filter(|_| input_is_last);
    gathering.run(old, &mut numbers, shared);
    if let (Some(sharing), Some(input), false) = (sharing, &maps.input, input_is_last) {
        // The columns lie outside the rows: what one copy and another hold is far apart, and split in a second pass.
        let length = new_dims[input.axis..].iter().product();
        let inner = new_dims[input.axis + 1..].iter().product();
        for (run, numbers) in numbers.chunks_exact_mut(length).enumerate() {
            sharing.split(numbers, inner, run * length);
        }
    }
    numbers
}

/// The geometry of a gather along a first and a second axis, either of which may be missing.
struct Gathering<'a> {
    /// The first axis, and how long it was; every row is of its own source without one.
    first: Option<&'a AxisMap>,
    /// How many numbers an index of the first axis holds in the old parameter, and in the new.
    old_block: usize,
    new_block: usize,
    /// The second axis as runs; how many numbers one of its indices holds, and all of its old ones.
    runs: Vec<Run>,
    inner: usize,
    old_line: usize,
}

impl<'a> Gathering<'a> {
    fn new(dims: &[usize], first: Option<&'a AxisMap>, second: Option<&AxisMap>) -> Self {
        let behind = |axis: usize| dims[axis + 1..].iter().product::<usize>();
        match second {
            Some(second) => {
                let inner = behind(second.axis);
                let old_line = second.old * inner;
                let lines = first.map_or(1, |first| dims[first.axis + 1..second.axis].iter().product());
                let new_block = lines * second.sources.len() * inner;
                Self { first, old_block: lines * old_line, new_block, runs: second.runs(), inner, old_line }
            }
            None => {
                let block = first.map_or(1, |first| behind(first.axis));
                let runs = vec![Run { from: Some(0), length: 1 }];
                Self { first, old_block: block, new_block: block, runs, inner: block, old_line: block }
            }
        }
    }

    fn run(&self, old: &[f32], new: &mut [f32], sharing: Option<&Sharing>) {
        let blocks = (TASK / self.new_block).max(1);
        let task = |(index, numbers): (usize, &mut [f32])| {
            for (offset, block) in numbers.chunks_exact_mut(self.new_block).enumerate() {
                let at = index * blocks + offset;
                if let Some(source) = self.source(at) {
                    self.block(&old[source * self.old_block..][..self.old_block], block, at, sharing);
                }
            }
        };
        if new.len() <= 2 * TASK {
            new.chunks_mut(blocks * self.new_block).enumerate().for_each(task);
        } else {
            new.par_chunks_mut(blocks * self.new_block).enumerate().for_each(task);
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

    fn block(&self, old: &[f32], new: &mut [f32], at: usize, sharing: Option<&Sharing>) {
        let new_line = self.new_block / (self.old_block / self.old_line);
        let lines = old.chunks_exact(self.old_line).zip(new.chunks_exact_mut(new_line));
        for (number, (old, new)) in lines.enumerate() {
            let mut rest = &mut *new;
            for run in &self.runs {
                let (here, behind) = rest.split_at_mut(run.length * self.inner);
                if let Some(from) = run.from {
                    here.copy_from_slice(&old[from * self.inner..][..here.len()]);
                }
                rest = behind;
            }
            if let Some(sharing) = sharing {
                sharing.split(new, self.inner, at * self.new_block + number * new_line);
            }
        }
    }
}

/// Every index of an axis times its factor.
pub(super) fn scale(numbers: &mut [f32], dims: &[usize], axis: usize, factors: &[f64]) {
    let inner = dims[axis + 1..].iter().product::<usize>().max(1);
    for run in numbers.chunks_exact_mut((factors.len() * inner).max(1)) {
        for (numbers, factor) in run.chunks_exact_mut(inner).zip(factors) {
            numbers.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
        }
    }
}

/// Replaces the numbers at new indices of an axis, those without a source, by what `draw` gives, in order.
pub(super) fn fill_new(numbers: &mut [f32], dims: &[usize], map: &AxisMap, mut draw: impl FnMut() -> f32) {
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

    use super::*;

    fn map(axis: usize, old: usize, sources: &[Option<usize>]) -> AxisMap {
        AxisMap { axis, old, sources: sources.to_vec(), families: Vec::new() }
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

    #[test]
    fn large_parameters_are_gathered_in_parallel_to_the_same_numbers() {
        let sources: Vec<Option<usize>> = (0..600).map(|index| Some(index * 7 % 300)).collect();
        let maps = ParameterMaps { out: Some(map(0, 300, &sources)), input: None };
        let old: Vec<f32> = (0..300 * 500).map(|number| number as f32).collect();
        let new = regrow(&old, &[300, 500], &maps, None);
        assert!((0..600).all(|row| new[row * 500..][..500] == old[row * 7 % 300 * 500..][..500]));
    }

    #[test]
    fn scaling_multiplies_every_index_by_its_own_factor() {
        let mut numbers = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        scale(&mut numbers, &[2, 2, 2], 1, &[1.0, 10.0]);
        assert_eq!(numbers, [1.0, 2.0, 30.0, 40.0, 5.0, 6.0, 70.0, 80.0]);
    }
}
