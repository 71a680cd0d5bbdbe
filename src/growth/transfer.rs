//! Gathering numbers along an axis: parameters, moments and births alike.
//!
//! Row-major values with their dimensions; everything is done on the CPU, whatever the device, so that a growth gives
//! the same bits everywhere.

use candle_core::Tensor;

use crate::compute::optimizer::{AxisBirths, Moments};

use super::mapping::{AxisMap, ParameterMaps};

/// Row-major numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    pub dims: Vec<usize>,
    pub numbers: Vec<f32>,
}

impl Values {
    /// The numbers of a tensor on any device.
    pub fn of(tensor: &Tensor) -> candle_core::Result<Self> {
        Ok(Self { dims: tensor.dims().to_vec(), numbers: tensor.flatten_all()?.to_vec1()? })
    }

    /// A tensor on the device of another.
    pub fn like(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        Tensor::from_slice(&self.numbers, self.dims.as_slice(), tensor.device())
    }

    /// How the numbers lie around an axis: how many times it is run through, and how many numbers each index holds.
    pub fn around(&self, axis: usize) -> (usize, usize) {
        (self.dims[..axis].iter().product(), self.dims[axis + 1..].iter().product())
    }

    /// Every new index a copy of its source; 0 where there is none.
    pub fn gather(&self, map: &AxisMap) -> Self {
        let (outer, inner) = self.around(map.axis);
        let mut numbers = Vec::with_capacity(outer * map.sources.len() * inner);
        for run in self.numbers.chunks_exact((map.old * inner).max(1)) {
            for source in &map.sources {
                match source {
                    Some(index) => numbers.extend_from_slice(&run[index * inner..(index + 1) * inner]),
                    None => numbers.resize(numbers.len() + inner, 0.0),
                }
            }
        }
        let mut dims = self.dims.clone();
        dims[map.axis] = map.sources.len();
        Self { dims, numbers }
    }

    /// Gathered along all maps.
    pub fn gather_all(&self, maps: &ParameterMaps) -> Self {
        maps.iter().fold(self.clone(), |values, map| values.gather(map))
    }

    /// Every index of an axis times its factor.
    pub fn scale(&mut self, axis: usize, factors: &[f64]) {
        let (_, inner) = self.around(axis);
        for run in self.numbers.chunks_exact_mut((factors.len() * inner).max(1)) {
            for (numbers, factor) in run.chunks_exact_mut(inner.max(1)).zip(factors) {
                numbers.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
            }
        }
    }

    /// Replaces the numbers at new indices of an axis, those without a source, by what `draw` gives, in order.
    pub fn fill_new(&mut self, map: &AxisMap, mut draw: impl FnMut() -> f32) {
        let (_, inner) = self.around(map.axis);
        for run in self.numbers.chunks_exact_mut((map.sources.len() * inner).max(1)) {
            let indices = run.chunks_exact_mut(inner.max(1)).zip(&map.sources);
            for (numbers, _) in indices.filter(|(_, source)| source.is_none()) {
                numbers.iter_mut().for_each(|number| *number = draw());
            }
        }
    }
}

/// By what the moments of a producer's new rows are scaled: the share of its source's gradient that each new row gets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

/// The moments of a grown parameter: gathered; scaled along its out axis where `shares` are given; new rows and columns
/// empty and born at `now`.
pub(super) fn moments(
    moments: &Moments,
    maps: &ParameterMaps,
    shares: Option<&Shares>,
    now: u64,
) -> candle_core::Result<Moments> {
    let grown = |tensor: &Option<Tensor>, factors: Option<&Vec<f64>>| -> candle_core::Result<Option<Tensor>> {
        let Some(tensor) = tensor else {
            return Ok(None);
        };
        let mut values = Values::of(tensor)?.gather_all(maps);
        if let (Some(out), Some(factors)) = (&maps.out, factors) {
            values.scale(out.axis, factors);
        }
        values.like(tensor).map(Some)
    };
    Ok(Moments {
        first: grown(&moments.first, shares.map(|shares| &shares.first))?,
        second: grown(&moments.second, shares.map(|shares| &shares.second))?,
        out_births: moments.out_births.as_ref().map(|births| grown_births(births, maps, now)),
        in_births: moments.in_births.as_ref().map(|births| grown_births(births, maps, now)),
    })
}

fn grown_births(births: &AxisBirths, maps: &ParameterMaps, now: u64) -> AxisBirths {
    let Some(map) = maps.iter().find(|map| map.axis == births.axis && map.old == births.steps.len()) else {
        return births.clone();
    };
    let steps = map.sources.iter().map(|source| source.map_or(now, |index| births.steps[index])).collect();
    AxisBirths { axis: births.axis, steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(axis: usize, old: usize, sources: &[Option<usize>]) -> AxisMap {
        AxisMap { axis, old, sources: sources.to_vec(), families: Vec::new() }
    }

    #[test]
    fn gathering_copies_along_any_axis_and_leaves_zeros_without_a_source() {
        let values = Values { dims: vec![2, 2, 2], numbers: (1..=8).map(|number| number as f32).collect() };
        let first = values.gather(&map(0, 2, &[Some(0), Some(1), Some(0)]));
        assert_eq!((first.dims, &first.numbers[8..]), (vec![3, 2, 2], &[1.0, 2.0, 3.0, 4.0][..]));
        let middle = values.gather(&map(1, 2, &[Some(1), None]));
        assert_eq!(middle.numbers, [3.0, 4.0, 0.0, 0.0, 7.0, 8.0, 0.0, 0.0]);
        let last = values.gather(&map(2, 2, &[Some(1), Some(0), Some(1)]));
        assert_eq!(last.numbers[..6], [2.0, 1.0, 2.0, 4.0, 3.0, 4.0]);
    }

    #[test]
    fn births_follow_their_axis_and_new_indices_are_born_now() {
        let maps = ParameterMaps { out: None, input: Some(map(1, 2, &[Some(0), Some(1), Some(1), None])) };
        let births = |axis, steps: &[u64]| AxisBirths { axis, steps: steps.to_vec() };
        assert_eq!(grown_births(&births(1, &[3, 5]), &maps, 9), births(1, &[3, 5, 5, 9]));
        assert_eq!(grown_births(&births(0, &[3, 5]), &maps, 9), births(0, &[3, 5]));
    }
}
