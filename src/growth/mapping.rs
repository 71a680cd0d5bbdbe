//! Axis maps: where every new index along one axis of a parameter comes from (the mapping g of Net2Net §2.2).
//!
//! Built from a step's layouts and checked against them, because a plan may come from storage. Used by `apply` alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::Arc;

use crate::network::{AxisRole, NodeId, ParameterSpec};

use super::apply::GrowthError;
use super::step::{ChannelRange, Step, UnitGrowth};

/// One axis, from old to new.
#[derive(Debug, Clone)]
pub(super) struct AxisMap {
    /// How long it was.
    pub old: usize,
    /// For every new index the old one; `None` for what copies nothing.
    pub sources: Vec<Option<usize>>,
    /// New indices that share an old one within one range: the original and its copies.
    pub families: Vec<Stretch>,
}

/// Consecutive new indices that come from consecutive old ones, or from none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first old index, if there is one.
    pub from: Option<usize>,
    pub length: usize,
}

/// Consecutive families of two members and more: the first has the members `first`, in ascending order, every next one
/// the members behind those of the one before. No two members of a stretch are one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub first: Vec<usize>,
    pub length: usize,
}

impl AxisMap {
    /// The map of a tensor's channel axis.
    pub fn new(step: &Step, ranges: &[ChannelRange]) -> Result<Self, GrowthError> {
        let mut map = Self { old: 0, sources: Vec::new(), families: Vec::new() };
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
        let mut copies = vec![0usize; range.units];
        self.sources.reserve(grown * block);
        for unit in 0..grown {
            let source = growth.map_or(Some(unit), |growth| growth.source(unit));
            if let Some(source) = source {
                *copies.get_mut(source).ok_or_else(|| damaged("copies a unit that there is not"))? += 1;
            }
            self.sources.extend((0..block).map(|offset| source.map(|source| old + source * block + offset)));
        }
        if let Some(growth) = growth {
            let members = members(growth, &copies);
            for family in members.chunk_by(|one, other| one.0 == other.0).filter(|family| family.len() > 1) {
                self.join(family.iter().map(|(_, unit)| new + unit * block), block);
            }
        }
        self.old += range.units * block;
        Ok(())
    }

    /// Adds `block` families side by side, the first with these members, to the last stretch if they follow it.
    fn join(&mut self, members: impl ExactSizeIterator<Item = usize> + Clone, block: usize) {
        if let Some(last) = self.families.last_mut() {
            let follow = last.first.len() == members.len()
                && last.first.iter().zip(members.clone()).all(|(first, member)| first + last.length == member)
                // The members of one stretch must not run into each other.
                && last.length + block <= last.first[1] - last.first[0];
            if follow {
                last.length += block;
                return;
            }
        }
        self.families.push(Stretch { first: members.collect(), length: block });
    }

    /// The families one by one: the original first.
    pub fn sets(&self) -> impl Iterator<Item = Vec<usize>> {
        let within = |stretch: &Stretch, at: usize| stretch.first.iter().map(|first| first + at).collect();
        self.families.iter().flat_map(move |stretch| (0..stretch.length).map(move |at| within(stretch, at)))
    }

    /// How many new indices each new index shares its source with, itself included.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![1; self.sources.len()];
        for stretch in &self.families {
            for &first in &stretch.first {
                counts[first..first + stretch.length].fill(stretch.first.len());
            }
        }
        counts
    }

    /// Where the numbers of the families stand in a run along this axis, of `inner` numbers an index.
    pub fn places(&self, inner: usize) -> Vec<Stretch> {
        let scaled = |stretch: &Stretch| Stretch {
            first: stretch.first.iter().map(|index| index * inner).collect(),
            length: stretch.length * inner,
        };
        self.families.iter().map(scaled).collect()
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
}

/// Every unit after the growth that has copies or is one, behind the unit that it comes from, in order of both.
fn members(growth: &UnitGrowth, copies: &[usize]) -> Vec<(usize, usize)> {
    let mut members: Vec<(usize, usize)> = Vec::with_capacity(growth.grown());
    let sources = (0..growth.grown()).filter_map(|unit| growth.source(unit).map(|source| (source, unit)));
    members.extend(sources.filter(|(source, _)| copies[*source] > 1));
    members.sort_unstable();
    members
}

/// The maps of a step, each made once: a tensor's channels are the axis of several parameters.
pub(super) struct AxisMaps<'a> {
    step: &'a Step,
    known: HashMap<(&'a NodeId, usize), Arc<AxisMap>>,
}

impl<'a> AxisMaps<'a> {
    /// Those of this step.
    pub fn new(step: &'a Step) -> Self {
        Self { step, known: HashMap::new() }
    }

    /// The map of a tensor's channels as an axis that runs over one of so many groups of them; `None` where it does not
    /// grow.
    fn of(&mut self, tensor: &NodeId, groups: usize) -> Result<Option<Arc<AxisMap>>, GrowthError> {
        let Some((tensor, ranges)) = self.step.layouts.get_key_value(tensor) else {
            return Ok(None);
        };
        Ok(Some(match self.known.entry((tensor, groups)) {
            Entry::Occupied(known) => known.get().clone(),
            // All groups have one layout: that of the first is that of the axis.
            Entry::Vacant(place) => {
                place.insert(Arc::new(AxisMap::new(self.step, &ranges[..ranges.len() / groups])?)).clone()
            }
        }))
    }
}

/// One axis of a parameter that grows.
#[derive(Debug, Clone)]
pub(super) struct GrownAxis {
    /// Which axis of the parameter.
    pub axis: usize,
    map: Arc<AxisMap>,
}

impl Deref for GrownAxis {
    type Target = AxisMap;

    fn deref(&self) -> &AxisMap {
        &self.map
    }
}

/// The axes of one parameter that grow.
#[derive(Debug, Clone, Default)]
pub(super) struct ParameterMaps {
    /// The axis over the node's own channels.
    pub out: Option<GrownAxis>,
    /// The axis over the channels of an input.
    pub input: Option<GrownAxis>,
}

impl ParameterMaps {
    /// The maps of a parameter of a node with these inputs.
    pub fn new(
        maps: &mut AxisMaps<'_>,
        node: &NodeId,
        inputs: &[NodeId],
        spec: &ParameterSpec,
    ) -> Result<Self, GrowthError> {
        let mut found = Self::default();
        for (axis, role) in spec.axes.iter().enumerate() {
            let tensor = match role {
                AxisRole::Out => node,
                AxisRole::In { input } | AxisRole::InGroup { input, .. } => {
                    inputs.get(*input).ok_or_else(|| damaged("is of a network with fewer inputs at a node"))?
                }
                AxisRole::Piece | AxisRole::Neither => continue,
            };
            let Some(map) = maps.of(tensor, role.groups())? else {
                continue;
            };
            if spec.dims[axis] != map.old {
                return Err(damaged("is of a network with other widths"));
            }
            let place = if *role == AxisRole::Out { &mut found.out } else { &mut found.input };
            *place = Some(GrownAxis { axis, map });
        }
        Ok(found)
    }

    /// Both, those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &GrownAxis> {
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
impl GrownAxis {
    /// One made by hand.
    pub fn by_hand(axis: usize, map: AxisMap) -> Self {
        Self { axis, map: Arc::new(map) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(sources: &[Option<usize>]) -> AxisMap {
        AxisMap { old: 3, sources: sources.to_vec(), families: Vec::new() }
    }

    fn families(all: &[&[usize]]) -> Vec<Stretch> {
        let mut map = map(&[]);
        all.iter().for_each(|members| map.join(members.iter().copied(), 1));
        map.families
    }

    #[test]
    fn runs_are_as_long_as_sources_follow_each_other() {
        let sources = [Some(0), Some(1), Some(2), Some(1), Some(2), None, None];
        let run = |from, length| Run { from, length };
        assert_eq!(map(&sources).runs(), [run(Some(0), 3), run(Some(1), 2), run(None, 2)]);
    }

    #[test]
    fn stretches_hold_families_that_lie_side_by_side_and_never_overlap() {
        assert_eq!(families(&[&[0, 3], &[1, 4], &[2, 5]]), [Stretch { first: vec![0, 3], length: 3 }]);
        assert_eq!(families(&[&[0, 1], &[1, 2]]).len(), 2);
        assert_eq!(families(&[&[0, 3, 5], &[1, 4]]).len(), 2);
    }
}
