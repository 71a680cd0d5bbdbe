//! From channels that grow to the student's graph and the layout of every tensor in it.
//!
//! The same for widenings, new inputs and new classes: a node's op is asked for more channels or another range, all
//! shapes are inferred anew and must agree with the channels. Nothing the size of the student is made before its
//! graph has passed the limits of [`Network::new`].

use std::collections::BTreeMap;

use crate::network::{AxisRole, ChannelRelation, Network, NetworkError, Node, NodeId};

use super::inference::Channels;
use super::pieces::{PieceId, Segment};
use super::refusal::Refusal;
use super::step::{ChannelRange, Step, UnitGrowth};

/// How many units every growing piece will have.
pub(super) type Sizes = BTreeMap<PieceId, usize>;

/// The student's graph once the pieces have their new sizes.
pub(super) fn student(network: &Network, channels: &Channels, sizes: &Sizes) -> Result<Network, Refusal> {
    let mut nodes = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let grown = grown_length(channels, sizes, channels.of(network, &node.id)).ok_or_else(too_large)?;
        let op = match node.op.channels(&network.input_shapes(node)) {
            ChannelRelation::Produces { channels: old } | ChannelRelation::ProducesInGroups { channels: old, .. }
                if grown != old =>
            {
                let wider = node.op.with_channels(grown);
                wider.ok_or_else(|| refuse(&node.id, "it cannot make another number of channels".into()))?
            }
            ChannelRelation::Takes { start, .. } => {
                let before = grown_position(channels, sizes, channels.of(network, &node.inputs[0]), start);
                let moved = before.ok_or_else(too_large)?;
                match node.op.with_range(moved, moved + grown) {
                    Some(op) => op,
                    None if (moved, grown) == (start, old_channels(network, &node.id)) => node.op.clone(),
                    None => return Err(refuse(&node.id, "it cannot take another range of channels".into())),
                }
            }
            _ => node.op.clone(),
        };
        nodes.push(Node { op, ..node.clone() });
    }
    let input = grown_length(channels, sizes, channels.of(network, &NodeId::input())).ok_or_else(too_large)?;
    let student = Network::new(network.input().with_channels(input), nodes).map_err(refused)?;
    check_channels(network, channels, sizes, &student)?;
    check_axes(network, &student)?;
    Ok(student)
}

/// The layout of every tensor that grows. `growth` gives, for a piece, which of the plan's growths grows it.
fn layouts(
    network: &Network,
    channels: &Channels,
    growth: impl Fn(PieceId) -> Option<usize>,
) -> BTreeMap<NodeId, Vec<ChannelRange>> {
    let ids = std::iter::once(NodeId::input()).chain(network.nodes().iter().map(|node| node.id.clone()));
    let range = |segment: &Segment| ChannelRange {
        units: channels.pieces.units(segment.piece),
        block: segment.block,
        growth: growth(segment.piece),
    };
    let layout = |id: NodeId| {
        let ranges: Vec<ChannelRange> = channels.of(network, &id).iter().map(range).collect();
        ranges.iter().any(|range| range.growth.is_some()).then_some((id, ranges))
    };
    ids.filter_map(layout).collect()
}

/// The step from new sizes to the student that has them; `grow` says what is added to a piece.
pub(super) fn step(
    network: &Network,
    channels: &Channels,
    sizes: &Sizes,
    student: Network,
    grow: impl Fn(PieceId, usize) -> UnitGrowth,
) -> Step {
    let growths = sizes.iter().map(|(&piece, &size)| grow(piece, size)).collect();
    let order: BTreeMap<PieceId, usize> = sizes.keys().enumerate().map(|(index, &piece)| (piece, index)).collect();
    let layouts = layouts(network, channels, |piece| order.get(&piece).copied());
    Step { growths, layouts, ..Step::inserting(student, BTreeMap::new()) }
}

/// A network that cannot be built, as a refusal.
pub(super) fn refused(error: NetworkError) -> Refusal {
    match error {
        NetworkError::Node { node, reason } => Refusal::Node { node, reason },
        NetworkError::TooLarge { what: "the number of parameters", value, limit } => {
            Refusal::Budget { parameters: value, limit }
        }
        other => Refusal::Request { reason: format!("the grown network cannot be built: {other}") },
    }
}

/// A refusal at a node.
pub(super) fn refuse(node: &NodeId, reason: String) -> Refusal {
    Refusal::Node { node: node.clone(), reason }
}

fn too_large() -> Refusal {
    Refusal::Request { reason: "the grown network would have more channels than can be counted".into() }
}

fn grown_segment(channels: &Channels, sizes: &Sizes, segment: Segment) -> Option<usize> {
    let units = sizes.get(&segment.piece).copied().unwrap_or_else(|| channels.pieces.units(segment.piece));
    units.checked_mul(segment.block)
}

/// How long an expression becomes; `None` where that is beyond counting.
pub(super) fn grown_length(channels: &Channels, sizes: &Sizes, expression: &[Segment]) -> Option<usize> {
    let grown = |all: usize, &segment| all.checked_add(grown_segment(channels, sizes, segment)?);
    expression.iter().try_fold(0usize, grown)
}

/// Where the old position `start` of an expression stands afterwards: at the start of a segment, or inside one that
/// does not grow.
fn grown_position(channels: &Channels, sizes: &Sizes, expression: &[Segment], start: usize) -> Option<usize> {
    let (mut old, mut new) = (0, 0usize);
    for &segment in expression {
        let length = channels.pieces.length(segment);
        if old + length > start {
            break;
        }
        old += length;
        new = new.checked_add(grown_segment(channels, sizes, segment)?)?;
    }
    new.checked_add(start - old)
}

fn old_channels(network: &Network, id: &NodeId) -> usize {
    network.shape(id).expect("a network knows the shapes of its own nodes").channels()
}

/// Every op must have followed the channels that it declares, in its outputs …
fn check_channels(network: &Network, channels: &Channels, sizes: &Sizes, student: &Network) -> Result<(), Refusal> {
    for node in student.nodes() {
        let expected = grown_length(channels, sizes, channels.of(network, &node.id));
        if Some(old_channels(student, &node.id)) != expected {
            return Err(refuse(&node.id, "its output does not follow the channels that its op declares".into()));
        }
    }
    Ok(())
}

/// … and in its parameters: an axis that grows has the role of one tensor's channels, and at most one input axis grows.
fn check_axes(network: &Network, student: &Network) -> Result<(), Refusal> {
    for node in student.nodes() {
        let specs = network.node_parameters(&node.id).iter().zip(student.node_parameters(&node.id));
        for (old, new) in specs {
            let fault = |reason: &str| refuse(&node.id, format!("its parameter `{}` {reason}", new.name));
            let changed = |axis: &usize| old.dims.get(*axis) != new.dims.get(*axis);
            let axes: Vec<usize> = (0..new.dims.len()).filter(changed).collect();
            if old.dims.len() != new.dims.len() {
                return Err(fault("changes its number of axes"));
            }
            let roles = axes.iter().map(|&axis| new.axes[axis]);
            if roles.filter(|role| role.consumes().is_some()).count() > 1 {
                return Err(fault("consumes the grown channels along two axes"));
            }
            let follows = |axis: usize| match new.axes[axis] {
                AxisRole::Out => new.dims[axis] == old_channels(student, &node.id),
                AxisRole::In { input } => {
                    node.inputs.get(input).is_some_and(|id| new.dims[axis] == old_channels(student, id))
                }
                AxisRole::InGroup { input, groups } => {
                    node.inputs.get(input).is_some_and(|id| new.dims[axis] * groups == old_channels(student, id))
                }
                AxisRole::Piece | AxisRole::Neither => false,
            };
            if !axes.iter().all(|&axis| follows(axis)) {
                return Err(fault("does not follow the channels that its op declares"));
            }
        }
    }
    Ok(())
}
