//! Axis maps: where every new index along one axis of a parameter comes from (the mapping g of Net2Net §2.2).
//!
//! Built from a plan's layouts and checked against them, because a plan may come from storage. Used by `apply` alone.

use crate::network::{AxisRole, NodeId, ParameterSpec};

use super::apply::GrowthError;
use super::plan::{ChannelRange, Plan};

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

impl AxisMap {
    /// The map of a tensor's channel axis.
    pub fn new(plan: &Plan, ranges: &[ChannelRange]) -> Result<Self, GrowthError> {
        let mut map = Self { axis: 0, old: 0, sources: Vec::new(), families: Vec::new() };
        for range in ranges {
            map.append(plan, range)?;
        }
        Ok(map)
    }

    fn append(&mut self, plan: &Plan, range: &ChannelRange) -> Result<(), GrowthError> {
        let (old, new, block) = (self.old, self.sources.len(), range.block);
        let growth = match range.growth {
            Some(index) => Some(plan.growths.get(index).ok_or_else(|| damaged("names a growth that it lacks"))?),
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
    pub fn new(plan: &Plan, node: &NodeId, inputs: &[NodeId], spec: &ParameterSpec) -> Result<Self, GrowthError> {
        let mut maps = Self::default();
        for (axis, role) in spec.axes.iter().enumerate() {
            let tensor = match role {
                AxisRole::Out => node,
                AxisRole::In { input } | AxisRole::InGroup { input, .. } => {
                    inputs.get(*input).ok_or_else(|| damaged("is of a network with fewer inputs at a node"))?
                }
                AxisRole::Piece | AxisRole::Neither => continue,
            };
            let Some(ranges) = plan.layouts.get(tensor) else {
                continue;
            };
            // All groups have one layout: that of the first is that of the axis.
            let map = AxisMap { axis, ..AxisMap::new(plan, &ranges[..ranges.len() / role.groups()])? };
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
}

pub(super) fn damaged(what: &str) -> GrowthError {
    GrowthError::Mismatch(format!("it {what}"))
}
