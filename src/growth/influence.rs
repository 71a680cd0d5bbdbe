//! Influence: which share of its source's gradient every copy of a unit gets, so that moments can follow.
//!
//! A backward pass over the student with the weights' squares as evidence. The gradient of a copied unit is the sum over
//! its consumers' weights; that of a copy is the same sum with every weight times its share a. Where all shares of a copy
//! are one number this is exact; where they differ the estimate is that of least squares, `Σ a W² / Σ W²` for first and
//! `Σ a² W² / Σ W²` for second moments, over all weights that consume the unit (1/r and 1/r² where all are 0).

use std::collections::BTreeMap;

use crate::network::{ChannelRelation, Node, NodeId, Shape};

use super::apply::GrowthError;
use super::mapping::{AxisMap, ParameterMaps};
use super::moments::Shares;
use super::step::Step;

/// A parameter that consumes grown channels, on its new axes.
pub(super) struct Consumer {
    /// Which of its node's inputs.
    pub input: usize,
    /// Into how many groups its rows and that input's channels fall; 1 where every row consumes every channel.
    pub groups: usize,
    /// The axis of its rows.
    pub rows: Option<usize>,
    /// Its sizes.
    pub dims: Vec<usize>,
    /// The weights before they were split.
    pub gathered: Vec<f32>,
    /// The weights after.
    pub split: Vec<f32>,
    pub maps: ParameterMaps,
}

/// The shares of every tensor of the student that grows, by the node that makes it; those of a node whose parameters
/// others share are of all their uses. `consumers` gives those of a node by its id.
pub(super) fn shares(
    step: &Step,
    consumers: impl Fn(&NodeId) -> Result<Vec<Consumer>, GrowthError>,
) -> Result<BTreeMap<NodeId, Shares>, GrowthError> {
    let student = &step.student;
    let mut evidence: BTreeMap<NodeId, Evidence> = BTreeMap::new();
    let mut uses: BTreeMap<&NodeId, Evidence> = BTreeMap::new();
    let mut shares = BTreeMap::new();
    for node in student.nodes().iter().rev() {
        let mut arrived = evidence.remove(&node.id);
        let mut own = None;
        if let Some(ranges) = step.layouts.get(&node.id) {
            let map = AxisMap::new(step, ranges)?;
            arrived = arrived.filter(|arrived| arrived.weight.len() == map.sources.len());
            own = Some(found(&map, arrived.as_ref()));
            if let Some(arrived) = &arrived {
                let all = uses.entry(node.owner()).or_insert_with(|| Evidence::new(map.sources.len()));
                (0..map.sources.len()).for_each(|channel| all.add(channel, arrived, channel));
            }
            let all = uses.get(node.owner());
            shares.insert(node.owner().clone(), found(&map, all));
        }
        for consumer in consumers(node.owner())? {
            if let Some(place) = place(step, node, consumer.input, &mut evidence) {
                place.consume(&consumer, own.as_ref());
            }
        }
        if let Some(arrived) = arrived {
            pass_on(step, node, &arrived, &mut evidence);
        }
    }
    Ok(shares)
}

/// Sums over the weights that consume each channel of a tensor.
#[derive(Debug, Clone)]
struct Evidence {
    /// Σ a W².
    first: Vec<f64>,
    /// Σ a² W².
    second: Vec<f64>,
    /// Σ W².
    weight: Vec<f64>,
}

impl Evidence {
    fn new(channels: usize) -> Self {
        Self { first: vec![0.0; channels], second: vec![0.0; channels], weight: vec![0.0; channels] }
    }

    fn add(&mut self, channel: usize, other: &Self, other_channel: usize) {
        self.first[channel] += other.first[other_channel];
        self.second[channel] += other.second[other_channel];
        self.weight[channel] += other.weight[other_channel];
    }

    /// Adds the weights of one parameter. Where its rows are copied too, what reaches a column is the sum over the copies
    /// of a row, each with the share that it has itself.
    fn consume(&mut self, consumer: &Consumer, own: Option<&Shares>) {
        let Some(input) = &consumer.maps.input else {
            return;
        };
        let mut dims = consumer.dims.clone();
        let (shared, whole): (Vec<f64>, Vec<f64>) = match &consumer.maps.out {
            None => (wide(&consumer.split), wide(&consumer.gathered)),
            Some(out) => {
                dims[out.axis] = out.old;
                let own = own.map(|shares| shares.first.as_slice());
                merged(consumer, out, own.unwrap_or(&[]))
            }
        };
        let along = |axis: usize| (dims[axis], dims[axis + 1..].iter().product::<usize>());
        let (length, inner) = along(input.axis);
        let (rows, row) = consumer.rows.map_or((1, usize::MAX), along);
        for (index, (shared, whole)) in shared.iter().zip(&whole).enumerate() {
            let group = index / row % rows * consumer.groups / rows;
            let channel = group * length + index / inner % length;
            self.first[channel] += shared * whole;
            self.second[channel] += shared * shared;
            self.weight[channel] += whole * whole;
        }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The split weights summed over the copies of every row, each times its share, and the whole ones of the old rows.
fn merged(consumer: &Consumer, out: &AxisMap, own: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let outer: usize = consumer.dims[..out.axis].iter().product();
    let inner: usize = consumer.dims[out.axis + 1..].iter().product();
    let mut shared = vec![0.0; outer * out.old * inner];
    let mut whole = shared.clone();
    for run in 0..outer {
        for (row, source) in out.sources.iter().enumerate() {
            let Some(source) = source else {
                continue;
            };
            let from = (run * out.sources.len() + row) * inner;
            let to = (run * out.old + source) * inner;
            let share = own.get(row).copied().unwrap_or(1.0);
            for within in 0..inner {
                shared[to + within] += share * f64::from(consumer.split[from + within]);
                whole[to + within] = f64::from(consumer.gathered[from + within]);
            }
        }
    }
    (shared, whole)
}

fn found(map: &AxisMap, evidence: Option<&Evidence>) -> Shares {
    let counts = map.counts();
    let mut shares = Shares { first: vec![1.0; counts.len()], second: vec![1.0; counts.len()] };
    for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 1) {
        let equal = 1.0 / count as f64;
        let known = evidence.filter(|evidence| evidence.weight[index] > 0.0);
        // Noise on the copies (`paper`) may lead out of what a share can be.
        let ratio = |sum: f64, weight: f64| (sum / weight).clamp(0.0, 1.0);
        shares.first[index] = known.map_or(equal, |known| ratio(known.first[index], known.weight[index]));
        shares.second[index] = known.map_or(equal * equal, |known| ratio(known.second[index], known.weight[index]));
    }
    shares
}

/// Where the evidence about an input of a node is gathered, if that tensor grows.
fn place<'a>(
    step: &Step,
    node: &Node,
    input: usize,
    evidence: &'a mut BTreeMap<NodeId, Evidence>,
) -> Option<&'a mut Evidence> {
    let id = node.inputs.get(input).filter(|id| step.layouts.contains_key(*id))?;
    let channels = step.student.shape(id).map(Shape::channels)?;
    Some(evidence.entry(id.clone()).or_insert_with(|| Evidence::new(channels)))
}

/// Evidence about a node's output is evidence about the inputs whose channels it carries.
fn pass_on(step: &Step, node: &Node, arrived: &Evidence, evidence: &mut BTreeMap<NodeId, Evidence>) {
    let shapes = step.student.input_shapes(node);
    let relation = node.op.channels(&shapes);
    let mut offset = 0;
    for (input, shape) in shapes.iter().enumerate() {
        let start = offset;
        offset += shape.channels();
        let Some(place) = place(step, node, input, evidence) else {
            continue;
        };
        match relation {
            ChannelRelation::Produces { .. } | ChannelRelation::ProducesInGroups { .. } | ChannelRelation::Fixed => {}
            ChannelRelation::Carries | ChannelRelation::CarriesAcross { .. } | ChannelRelation::Unifies => {
                (0..shape.channels()).for_each(|channel| place.add(channel, arrived, channel));
            }
            ChannelRelation::Concatenates => {
                (0..shape.channels()).for_each(|channel| place.add(channel, arrived, start + channel));
            }
            ChannelRelation::Takes { start, end } => {
                (start..end).for_each(|channel| place.add(channel, arrived, channel - start));
            }
            ChannelRelation::Expands { block } => {
                (0..shape.channels() * block).for_each(|position| place.add(position / block, arrived, position));
            }
        }
    }
}
