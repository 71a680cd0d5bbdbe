//! Axis maps: where every new index along one axis of a parameter comes from (the mapping g of Net2Net §2.2).
//!
//! Built from a step's layouts and checked against them, because a plan may come from storage. Used by `apply` alone.

use crate::network::{AxisRole, NodeId, ParameterSpec};

use super::apply::GrowthError;
use super::step::{ChannelRange, Step};

/// One axis, from old to new.
#[derive(Debug, Clone)]
pub(super) struct AxisMap {
    /// Which axis of the parameter.
    pub axis: usize,
    /// How long it was.
    pub old: usize,
    /// For every new index the old one; `None` for what copies nothing.
    pub sources: Vec<Option<usize>>,
    /// New indices that share an old one within one range, in ascending order: the original first. Only of two and more.
    pub families: Vec<Vec<usize>>,
}

/// Consecutive new indices that come from consecutive old ones, or from none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first old index, if there is one.
    pub from: Option<usize>,
    pub length: usize,
}

/// Consecutive families: the first has the members `first`, every next one the members behind those of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub first: Vec<usize>,
    pub length: usize,
}

impl AxisMap {
    /// The map of a tensor's channel axis.
    pub fn new(step: &Step, ranges: &[ChannelRange]) -> Result<Self, GrowthError> {
        let mut map = Self { axis: 0, old: 0, sources: Vec::new(), families: Vec::new() };
        for range in ranges {
            map.append(step, range)?;
        }
        Ok(map)
    }

    fn append(&mut self, step: &Step, range: &ChannelRange) -> Result<(), GrowthError> {
        let (old, new, block) = (self.old, self.sources.len(), range.block);
        let growth = match range.growth {
            Some(index) => Some(step.growths.get(index).ok_or_else(|| damaged("names a growth that it lacks"))?),
            None => None,
        };
        let grown = growth.map_or(range.units, |growth| growth.grown());
        if growth.is_some_and(|growth| growth.units != range.units) {
            return Err(damaged("has a range that differs from what grows it"));
        }
        let mut copies: Vec<Vec<usize>> = vec![Vec::new(); range.units];
        for unit in 0..grown {
            let source = growth.map_or(Some(unit), |growth| growth.source(unit));
            if let Some(source) = source {
                copies.get_mut(source).ok_or_else(|| damaged("copies a unit that there is not"))?.push(unit);
            }
            self.sources.extend((0..block).map(|offset| source.map(|source| old + source * block + offset)));
        }
        for family in copies.iter().filter(|family| family.len() > 1) {
            let member = |offset: usize| family.iter().map(move |unit| new + unit * block + offset).collect();
            self.families.extend((0..block).map(member));
        }
        self.old += range.units * block;
        Ok(())
    }

    /// How many new indices each new index shares its source with, itself included.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![1; self.sources.len()];
        for family in &self.families {
            family.iter().for_each(|&index| counts[index] = family.len());
        }
        counts
    }

    /// The sources as runs, in order: what can be copied at once.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for &source in &self.sources {
            match runs.last_mut() {
                Some(last) if last.from.map(|from| from + last.length) == source => last.length += 1,
                _ => runs.push(Run { from: source, length: 1 }),
            }
        }
        runs
    }

    /// The families as stretches: what can be split at once.
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for family in &self.families {
            let follows = |last: &Stretch| {
                last.first.len() == family.len()
                    && last.first.iter().zip(family).all(|(first, member)| first + last.length == *member)
                    // The members of one stretch must not run into each other.
                    && last.length < last.first[1] - last.first[0]
            };
            match stretches.last_mut() {
                Some(last) if follows(last) => last.length += 1,
                _ => stretches.push(Stretch { first: family.clone(), length: 1 }),
            }
        }
        stretches
    }
}

/// The axes of one parameter that grow.
#[derive(Debug, Clone, Default)]
pub(super) struct ParameterMaps {
    /// The axis over the node's own channels.
    pub out: Option<AxisMap>,
    /// The axis over the channels of an input.
    pub input: Option<AxisMap>,
}

impl ParameterMaps {
    /// The maps of a parameter of a node with these inputs.
    pub fn new(step: &Step, node: &NodeId, inputs: &[NodeId], spec: &ParameterSpec) -> Result<Self, GrowthError> {
        let mut maps = Self::default();
        for (axis, role) in spec.axes.iter().enumerate() {
            let tensor = match role {
                AxisRole::Out => node,
                AxisRole::In { input } | AxisRole::InGroup { input, .. } => {
                    inputs.get(*input).ok_or_else(|| damaged("is of a network with fewer inputs at a node"))?
                }
                AxisRole::Piece | AxisRole::Neither => continue,
            };
            let Some(ranges) = step.layouts.get(tensor) else {
                continue;
            };
            // All groups have one layout: that of the first is that of the axis.
            let map = AxisMap { axis, ..AxisMap::new(step, &ranges[..ranges.len() / role.groups()])? };
            if spec.dims[axis] != map.old {
                return Err(damaged("is of a network with other widths"));
            }
            let place = if *role == AxisRole::Out { &mut maps.out } else { &mut maps.input };
            *place = Some(map);
        }
        Ok(maps)
    }

    /// Both, those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &AxisMap> {
        self.out.iter().chain(&self.input)
    }

    /// Whether neither axis grows.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The sizes of the grown parameter.
    pub fn dims(&self, old: &[usize]) -> Vec<usize> {
        let mut dims = old.to_vec();
        self.iter().for_each(|map| dims[map.axis] = map.sources.len());
        dims
    }
}

pub(super) fn damaged(what: &str) -> GrowthError {
    GrowthError::Mismatch(format!("it {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(sources: &[Option<usize>], families: &[&[usize]]) -> AxisMap {
        let families = families.iter().map(|family| family.to_vec()).collect();
        AxisMap { axis: 0, old: 3, sources: sources.to_vec(), families }
    }

    #[test]
    fn runs_are_as_long_as_sources_follow_each_other() {
        let sources = [Some(0), Some(1), Some(2), Some(1), Some(2), None, None];
        let run = |from, length| Run { from, length };
        assert_eq!(map(&sources, &[]).runs(), [run(Some(0), 3), run(Some(1), 2), run(None, 2)]);
    }

    #[test]
    fn stretches_hold_families_that_lie_side_by_side_and_never_overlap() {
        let doubled = map(&[], &[&[0, 3], &[1, 4], &[2, 5]]);
        assert_eq!(doubled.stretches(), [Stretch { first: vec![0, 3], length: 3 }]);
        let neighbours = map(&[], &[&[0, 1], &[1, 2]]);
        assert_eq!(neighbours.stretches().len(), 2);
        let mixed = map(&[], &[&[0, 3, 5], &[1, 4]]);
        assert_eq!(mixed.stretches().len(), 2);
    }
}
