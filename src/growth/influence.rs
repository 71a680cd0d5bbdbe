//! Influence: which share of its source's gradient every copy of a unit gets, so that moments can follow.
//!
//! A backward pass over the student with the weights' squares as evidence. The gradient of a copied unit is the sum over
//! its consumers' weights; that of a copy is the same sum with every weight times its share a. Where all shares of a copy
//! are one number this is exact; where they differ the estimate is that of least squares, `Σ a W² / Σ W²` for first and
//! `Σ a² W² / Σ W²` for second moments, over all weights that consume the unit (1/r and 1/r² where all are 0).

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::compute::vectors::{Loop, widest};
use crate::network::{ChannelRelation, Node, NodeId, Shape};

use super::apply::GrowthError;
use super::mapping::{AxisMap, GrownAxis, ParameterMaps};
use super::moments::Shares;
use super::regrow::{TASK, regrow};
use super::step::Step;

/// A parameter that consumes grown channels.
pub(super) struct Consumer<'a> {
    /// Which of its node's inputs.
    pub input: usize,
    /// Into how many groups its rows and that input's channels fall; 1 where every row consumes every channel.
    pub groups: usize,
    /// The axis of its rows.
    pub rows: Option<usize>,
    /// Its sizes after the growth.
    pub dims: &'a [usize],
    /// The weights before it.
    pub whole: &'a [f32],
    /// The weights after it.
    pub split: &'a [f32],
    pub maps: &'a ParameterMaps,
}

/// The shares of every tensor of the student that grows, by the node that makes it; those of a node whose parameters
/// others share are of all their uses. `consumers` shows those of a node, which it is given by its id.
pub(super) fn shares(
    step: &Step,
    consumers: impl Fn(&NodeId, &mut dyn FnMut(&Consumer<'_>)) -> Result<(), GrowthError>,
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
        consumers(node.owner(), &mut |consumer| {
            if let Some(place) = place(step, node, consumer.input, &mut evidence) {
                place.consume(consumer, own.as_ref());
            }
        })?;
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

    fn clear(&mut self) {
        [&mut self.first, &mut self.second, &mut self.weight].into_iter().for_each(|sums| sums.fill(0.0));
    }

    /// Adds the weights of one parameter. Where its rows are copied too, what reaches a column is the sum over the copies
    /// of a row, each with the share that it has itself.
    fn consume(&mut self, consumer: &Consumer<'_>, own: Option<&Shares>) {
        let Some(input) = &consumer.maps.input else {
            return;
        };
        let mut dims = consumer.dims.to_vec();
        consumer.maps.iter().for_each(|map| dims[map.axis] = map.old);
        let columns = ParameterMaps { out: None, input: Some(input.clone()) };
        let whole = regrow(consumer.whole, &dims, &columns, None);
        if whole.is_empty() {
            return;
        }
        let lines = Lines::new(consumer, input, own);
        let task = (TASK / lines.line).max(1);
        // However many threads there are, the partial sums are the same and are added in the same order.
        let tasks = whole.par_chunks(task * lines.line).enumerate();
        let partial = |(index, whole)| widest(Sums { lines: &lines, split: consumer.split, whole, at: index * task });
        let partials: Vec<Evidence> = tasks.map(partial).collect();
        for partial in &partials {
            (0..partial.weight.len().min(self.weight.len())).for_each(|channel| self.add(channel, partial, channel));
        }
    }
}

/// The geometry of a consumer's numbers: lines, each of one row.
struct Lines {
    /// How many numbers a line has.
    line: usize,
    /// How many rows there were, and are.
    old_rows: usize,
    rows: usize,
    /// Every row after the growth behind the one that it copies, with its share of that one's gradient; in order of both.
    copies: Vec<(usize, usize, f64)>,
    /// Where the copies of every old row begin.
    starts: Vec<usize>,
    /// Into how many groups rows and channels fall, how many channels each has, and how many numbers a channel of a row.
    groups: usize,
    channels: usize,
    inner: usize,
}

impl Lines {
    fn new(consumer: &Consumer<'_>, input: &GrownAxis, own: Option<&Shares>) -> Self {
        let behind = |axis: usize| consumer.dims[axis + 1..].iter().product::<usize>();
        let all = || consumer.dims.iter().product::<usize>();
        let (rows, line) = consumer.rows.map_or_else(|| (1, all()), |axis| (consumer.dims[axis], behind(axis)));
        let share = |row: usize| own.and_then(|own| own.first.get(row)).copied().unwrap_or(1.0);
        let (old_rows, mut copies): (usize, Vec<_>) = match &consumer.maps.out {
            None => (rows, (0..rows).map(|row| (row, row, 1.0)).collect()),
            Some(out) => {
                let copy = |(row, source): (usize, &Option<usize>)| source.map(|source| (source, row, share(row)));
                (out.old, out.sources.iter().enumerate().filter_map(copy).collect())
            }
        };
        copies.sort_by_key(|&(source, row, _)| (source, row));
        let starts = (0..=old_rows).map(|row| copies.partition_point(|copy| copy.0 < row)).collect();
        let channels = consumer.dims[input.axis];
        // Lines are of old rows: those may lie behind the columns (Embedding).
        let inner = match consumer.rows {
            Some(axis) if axis > input.axis => behind(input.axis) / rows * old_rows,
            _ => behind(input.axis),
        };
        Self { line, old_rows, rows, copies, starts, groups: consumer.groups, channels, inner }
    }

    /// The group of an old line, and which channel of it the number `within` the line belongs to.
    fn channel(&self, line: usize, within: usize) -> usize {
        let group = line % self.old_rows * self.groups / self.old_rows;
        group * self.channels + (line * self.line + within) / self.inner % self.channels
    }

    /// Whether all numbers of two lines that follow each other belong to the same channels.
    fn alike(&self, one: usize, other: usize) -> bool {
        let covers = self.line.is_multiple_of(self.channels * self.inner);
        covers && self.channel(one, 0) == self.channel(other, 0)
    }
}

/// The evidence of some old lines, from the line `at` on.
struct Sums<'a> {
    lines: &'a Lines,
    split: &'a [f32],
    /// Their weights before they were split.
    whole: &'a [f32],
    at: usize,
}

impl Loop for Sums<'_> {
    type Output = Evidence;

    #[inline(always)]
    fn run(self) -> Evidence {
        let lines = self.lines;
        let mut evidence = Evidence::new(lines.groups * lines.channels);
        let mut shared = vec![0.0; lines.line];
        // Sums over lines that are alike, for every number of a line.
        let mut sums = Evidence::new(lines.line);
        let count = self.whole.len() / lines.line;
        for (index, whole) in self.whole.chunks_exact(lines.line).enumerate() {
            let at = self.at + index;
            let (run, row) = (at / lines.old_rows, at % lines.old_rows);
            shared.fill(0.0);
            for &(_, copy, share) in &lines.copies[lines.starts[row]..lines.starts[row + 1]] {
                let split = &self.split[(run * lines.rows + copy) * lines.line..][..lines.line];
                shared.iter_mut().zip(split).for_each(|(sum, &part)| *sum += share * f64::from(part));
            }
            let places = sums.first.iter_mut().zip(&mut sums.second).zip(&mut sums.weight);
            for (((first, second), weight), (&shared, &whole)) in places.zip(shared.iter().zip(whole)) {
                let whole = f64::from(whole);
                *first += shared * whole;
                *second += shared * shared;
                *weight += whole * whole;
            }
            if index + 1 == count || !lines.alike(at, at + 1) {
                (0..lines.line).for_each(|within| evidence.add(lines.channel(at, within), &sums, within));
                sums.clear();
            }
        }
        evidence
    }
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
