//! Axis maps: where every new index along one axis of a parameter comes from (the mapping g of Net2Net §2.2).
//!
//! Built from a step's layouts and checked against them, because a plan may come from storage. Used by `apply` alone.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::network::{AxisRole, NodeId, ParameterSpec};

use super::apply::GrowthError;
use super::step::{Added, ChannelRange, Step};

/// One axis, from old to new.
#[derive(Debug, Clone, Default)]
pub(super) struct AxisMap {
    /// How long it was.
    pub old: usize,
    /// For every new index the old one; `None` for what copies nothing.
    pub sources: Vec<Option<usize>>,
    /// New indices that share an old one within one range: the original and its copies.
    pub families: Vec<Stretch>,
    /// The sources as runs, in order: what can be copied at once.
    pub runs: Vec<Run>,
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
        let mut map = Self::default();
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
        if growth.is_some_and(|growth| growth.units != range.units) {
            return Err(damaged("has a range that differs from what grows it"));
        }
        self.run(Some(old), range.units * block);
        self.old += range.units * block;
        let Some(growth) = growth else {
            return Ok(());
        };
        match &growth.added {
            Added::New(count) => self.run(None, count * block),
            Added::Copies(sources) => {
                for &source in sources {
                    if source >= range.units {
                        return Err(damaged("copies a unit that there is not"));
                    }
                    self.run(Some(old + source * block), block);
                }
                let mut copies: Vec<(usize, usize)> = sources.iter().copied().zip(range.units..).collect();
                copies.sort_unstable();
                for family in copies.chunk_by(|one, other| one.0 == other.0) {
                    let units = std::iter::once(family[0].0).chain(family.iter().map(|copy| copy.1));
                    self.join(units.map(|unit| new + unit * block), block);
                }
            }
        }
        Ok(())
    }

    /// Adds indices that come from old ones in order, or from none.
    fn run(&mut self, from: Option<usize>, length: usize) {
        match from {
            Some(from) => self.sources.extend((from..from + length).map(Some)),
            None => self.sources.extend(std::iter::repeat_n(None, length)),
        }
        match self.runs.last_mut() {
            Some(last) if last.from.map(|from| from + last.length) == from => last.length += length,
            _ => self.runs.push(Run { from, length }),
        }
    }

    /// Adds `block` families side by side, the first with these members, to the last stretch if they follow it.
    fn join(&mut self, members: impl Iterator<Item = usize> + Clone, block: usize) {
        if let Some(last) = self.families.last_mut() {
            let follow = last.first.iter().map(|first| first + last.length).eq(members.clone())
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

    /// Whether some indices copy nothing.
    pub fn has_new(&self) -> bool {
        self.runs.iter().any(|run| run.from.is_none())
    }
}

/// The maps of a step, each made once: a tensor's channels are the axis of several parameters.
pub(super) struct AxisMaps<'a> {
    step: &'a Step,
    /// By tensor and number of groups; `None` where it does not grow.
    known: HashMap<(&'a NodeId, usize), Option<Arc<AxisMap>>>,
    /// The last that was asked for: the parameters of one node follow each other.
    last: Option<(&'a NodeId, usize, Option<Arc<AxisMap>>)>,
}

impl<'a> AxisMaps<'a> {
    /// Those of this step.
    pub fn new(step: &'a Step) -> Self {
        Self { step, known: HashMap::new(), last: None }
    }

    /// The map of a tensor's channels as an axis that runs over one of so many groups of them.
    fn of(&mut self, tensor: &'a NodeId, groups: usize) -> Result<Option<Arc<AxisMap>>, GrowthError> {
        if let Some((last, of, map)) = &self.last
            && std::ptr::eq(*last, tensor)
            && *of == groups
        {
            return Ok(map.clone());
        }
        let map = match self.known.get(&(tensor, groups)) {
            Some(known) => known.clone(),
            None => self.made(tensor, groups)?,
        };
        self.last = Some((tensor, groups, map.clone()));
        Ok(map)
    }

    fn made(&mut self, tensor: &'a NodeId, groups: usize) -> Result<Option<Arc<AxisMap>>, GrowthError> {
        let map = match self.step.layouts.get(tensor) {
            // All groups have one layout: that of the first is that of the axis.
            Some(ranges) => Some(Arc::new(AxisMap::new(self.step, &ranges[..ranges.len() / groups])?)),
            None => None,
        };
        self.known.insert((tensor, groups), map.clone());
        Ok(map)
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
    pub fn new<'a>(
        maps: &mut AxisMaps<'a>,
        node: &'a NodeId,
        inputs: &'a [NodeId],
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
    pub fn by_hand(axis: usize, old: usize, sources: &[Option<usize>], families: Vec<Stretch>) -> Self {
        let mut map = AxisMap { old, families, ..AxisMap::default() };
        sources.iter().for_each(|&source| map.run(source, 1));
        Self { axis, map: Arc::new(map) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(all: &[&[usize]]) -> Vec<Stretch> {
        let mut map = AxisMap::default();
        all.iter().for_each(|members| map.join(members.iter().copied(), 1));
        map.families
    }

    #[test]
    fn runs_are_as_long_as_sources_follow_each_other() {
        let sources = [Some(0), Some(1), Some(2), Some(1), Some(2), None, None];
        let run = |from, length| Run { from, length };
        assert_eq!(
            GrownAxis::by_hand(0, 3, &sources, Vec::new()).runs,
            [run(Some(0), 3), run(Some(1), 2), run(None, 2)]
        );
    }

    #[test]
    fn stretches_hold_families_that_lie_side_by_side_and_never_overlap() {
        assert_eq!(families(&[&[0, 3], &[1, 4], &[2, 5]]), [Stretch { first: vec![0, 3], length: 3 }]);
        assert_eq!(families(&[&[0, 1], &[1, 2]]).len(), 2);
        assert_eq!(families(&[&[0, 3, 5], &[1, 4]]).len(), 2);
    }
}
