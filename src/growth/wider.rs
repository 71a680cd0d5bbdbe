//! Wider: more channels at the nodes that are named, and everywhere else that the same channels occur (Net2Net §2.2).

use crate::compute::random::{Purpose, Random};
use crate::network::{Network, NodeId};

use super::inference::Channels;
use super::pieces::{Expression, PieceId};
use super::plan::{Design, Preserves};
use super::refusal::Refusal;
use super::request::{Extent, Nodes, Split, Wider};
use super::step::{Added, Step, UnitGrowth};
use super::student::{self, Sizes, grown_length, refuse};

/// The relative difference of logits that a widening with noise accepts: the noise is asked for to change the function a
/// little (the paper gives no figure), so this only tells it from a mistake.
const NOISE_TOLERANCE: f64 = 0.1;

/// What a factor may miss a whole number by and still mean it: 1.1 x 10 is 11 channels, not 12.
const ROUNDING: f64 = 1e-9;

/// What the widening would do, or why not.
pub(super) fn design(network: &Network, wider: &Wider, seed: u64) -> Result<Design, Refusal> {
    check(wider)?;
    let channels = Channels::infer(network);
    let sizes = match &wider.nodes {
        Nodes::All | Nodes::Matching(_) => all_sizes(network, &channels, wider)?,
        Nodes::These(ids) => these_sizes(network, &channels, wider, ids)?,
    };
    let student = student::student(network, &channels, &sizes)?;
    let grow = |piece: PieceId, size: usize| UnitGrowth {
        units: channels.pieces.units(piece),
        added: match wider.split {
            Split::Fresh | Split::RandomPad => Added::New(size - channels.pieces.units(piece)),
            Split::Replicate | Split::Paper { .. } => Added::Copies(copies(&channels, piece, size, seed)),
        },
    };
    let step = Step { split: wider.split, ..student::step(network, &channels, &sizes, student, grow) };
    let preserves = match wider.split {
        Split::Fresh => Preserves::Bits,
        Split::Paper { noise } if noise > 0.0 => Preserves::Approximately { tolerance: NOISE_TOLERANCE },
        Split::Replicate | Split::Paper { .. } => Preserves::Function,
        Split::RandomPad => Preserves::Nothing,
    };
    Ok(Design { steps: vec![step], preserves })
}

fn check(wider: &Wider) -> Result<(), Refusal> {
    check_extent(wider.extent)?;
    match wider.split {
        Split::Paper { noise } if !(noise.is_finite() && noise >= 0.0) => {
            Err(Refusal::Request { reason: "the noise of a widening is 0 or a positive number".into() })
        }
        _ => Ok(()),
    }
}

fn check_extent(extent: Extent) -> Result<(), Refusal> {
    match extent {
        Extent::Factor(factor) if !(factor.is_finite() && factor > 1.0) => {
            Err(Refusal::Request { reason: "the factor of a widening is a number above 1".into() })
        }
        _ => Ok(()),
    }
}

/// So many channels, extended.
pub(super) fn extended(channels: usize, extent: Extent) -> Result<usize, Refusal> {
    check_extent(extent)?;
    Ok(match extent {
        Extent::To(target) => target,
        Extent::Factor(factor) => multiplied(channels, factor),
    })
}

/// At least one more, rounded up to a whole number. The conversion saturates: a number beyond counting is refused with
/// the student's size.
fn multiplied(units: usize, factor: f64) -> usize {
    ((units as f64 * factor * (1.0 - ROUNDING)).ceil() as usize).max(units.saturating_add(1))
}

fn all_sizes(network: &Network, channels: &Channels, wider: &Wider) -> Result<Sizes, Refusal> {
    let mut sizes = Sizes::new();
    let growable = channels.growable(network);
    if growable.is_empty() {
        return Err(Refusal::Request { reason: "the network has no hidden channels that can grow".into() });
    }
    let named: Vec<&NodeId> = growable.iter().filter(|id| wider.nodes.matches(id)).collect();
    if named.is_empty() {
        return Err(nothing_matches(&growable));
    }
    let mut first = None;
    for id in named {
        if let Err(refusal) = add_sizes(network, channels, wider.extent, id, &mut sizes) {
            first.get_or_insert(refusal);
        }
    }
    while let Some((node, pieces)) = uneven(channels, &sizes, wider.split) {
        pieces.iter().for_each(|piece| {
            sizes.remove(piece);
        });
        first.get_or_insert_with(|| unevenly(&node));
    }
    match first {
        Some(refusal) if sizes.is_empty() => Err(refusal),
        _ => Ok(sizes),
    }
}

/// A pattern that no node fits of those that can grow.
pub(super) fn nothing_matches(known: &[NodeId]) -> Refusal {
    let known: Vec<&str> = known.iter().map(NodeId::as_str).collect();
    Refusal::Request {
        reason: format!("no node that can be named matches the pattern; there are {}", known.join(", ")),
    }
}

fn these_sizes(network: &Network, channels: &Channels, wider: &Wider, ids: &[NodeId]) -> Result<Sizes, Refusal> {
    if ids.is_empty() {
        return Err(Refusal::Request { reason: "a widening names at least one node".into() });
    }
    let mut sizes = Sizes::new();
    for (index, id) in ids.iter().enumerate() {
        check_node(network, channels, id)?;
        if !ids[..index].contains(id) {
            add_sizes(network, channels, wider.extent, id, &mut sizes)?;
        }
    }
    match uneven(channels, &sizes, wider.split) {
        Some((node, _)) => Err(unevenly(&node)),
        None => Ok(sizes),
    }
}

fn check_node(network: &Network, channels: &Channels, id: &NodeId) -> Result<(), Refusal> {
    if id.is_input() {
        return Err(refuse(id, "it is the network's input, which grows by `inputs`".into()));
    }
    let Some(node) = network.node(id) else {
        return Err(Refusal::UnknownNode { node: id.to_string(), known: channels.growable(network) });
    };
    if !node.op.produces_channels() {
        let feeding = channels.producers(network, id);
        let names: Vec<&str> = feeding.iter().map(NodeId::as_str).collect();
        let reason = match names[..] {
            [] => "it makes no channels; it carries those of the network's input".into(),
            _ => format!("it makes no channels; widen the node that feeds it: {}", names.join(", ")),
        };
        return Err(refuse(id, reason));
    }
    if channels.free(network, id).is_empty() {
        return Err(refuse(id, channels.why_fixed(network, id)));
    }
    Ok(())
}

/// Decides the new size of every free piece of a node that is not decided yet.
fn add_sizes(
    network: &Network,
    channels: &Channels,
    extent: Extent,
    id: &NodeId,
    sizes: &mut Sizes,
) -> Result<(), Refusal> {
    let free = channels.free(network, id);
    match extent {
        Extent::Factor(factor) => {
            for piece in free {
                sizes.entry(piece).or_insert(multiplied(channels.pieces.units(piece), factor));
            }
            Ok(())
        }
        Extent::To(target) => {
            let expression = channels.of(network, id);
            let old = expression.iter().map(|&segment| channels.pieces.length(segment)).sum::<usize>();
            if target <= old {
                return Err(refuse(id, format!("it has {old} channels already; a widening goes to more")));
            }
            let undecided: Vec<PieceId> = free.into_iter().filter(|piece| !sizes.contains_key(piece)).collect();
            let found = distribute(channels, expression, target, undecided, sizes)
                .ok_or_else(|| refuse(id, whole_reason(channels, expression, target)))?;
            sizes.extend(found);
            Ok(())
        }
    }
}

fn whole_reason(channels: &Channels, expression: &Expression, target: usize) -> String {
    let parts: Vec<String> = expression
        .iter()
        .map(|segment| format!("{}x{}", channels.pieces.units(segment.piece), segment.block))
        .collect();
    format!(
        "it cannot have exactly {target} channels: they are shared with other nodes in parts of {}, and other nodes of \
         this request may have decided some",
        parts.join(" + ")
    )
}

/// New sizes for `undecided` pieces so that the expression has `target` positions: in proportion, what is left over one
/// unit at a time in order. `None` where no such sizes exist.
fn distribute(
    channels: &Channels,
    expression: &Expression,
    target: usize,
    undecided: Vec<PieceId>,
    sizes: &Sizes,
) -> Option<Sizes> {
    let weight = |piece: PieceId| -> usize {
        expression.iter().filter(|segment| segment.piece == piece).map(|segment| segment.block).sum()
    };
    let decided: Expression =
        expression.iter().filter(|segment| !undecided.contains(&segment.piece)).copied().collect();
    let left = target.checked_sub(grown_length(channels, sizes, &decided)?)?;
    let now: usize = undecided.iter().map(|&piece| channels.pieces.units(piece) * weight(piece)).sum();
    if left < now || (undecided.is_empty() && left > 0) {
        return None;
    }
    let mut found = Sizes::new();
    let mut rest = left;
    for &piece in &undecided {
        let units = channels.pieces.units(piece);
        let share = (units as u128 * left as u128 / now as u128) as usize;
        found.insert(piece, share);
        rest -= share * weight(piece);
    }
    for &piece in &undecided {
        if let Some(size) = found.get_mut(&piece)
            && weight(piece) <= rest
        {
            *size += 1;
            rest -= weight(piece);
        }
    }
    let last = undecided.iter().rev().find(|&&piece| rest > 0 && rest % weight(piece) == 0);
    if let Some(piece) = last {
        *found.get_mut(piece)? += rest / weight(*piece);
        rest = 0;
    }
    found.retain(|&piece, size| *size > channels.pieces.units(piece));
    (rest == 0).then_some(found)
}

/// The first node whose channels must be copied equally often and would not be, with the pieces that grow there.
fn uneven(channels: &Channels, sizes: &Sizes, split: Split) -> Option<(NodeId, Vec<PieceId>)> {
    if split == Split::RandomPad {
        return None;
    }
    for (node, expression) in &channels.across {
        let growing: Vec<PieceId> =
            expression.iter().map(|segment| segment.piece).filter(|piece| sizes.contains_key(piece)).collect();
        let factor = |piece: PieceId| {
            let units = channels.pieces.units(piece);
            sizes.get(&piece).filter(|&&size| size % units == 0).map(|size| size / units)
        };
        let mut factors = expression.iter().map(|segment| factor(segment.piece));
        let first = factors.next().flatten();
        let even = first.is_some() && factors.all(|factor| factor == first) && split != Split::Fresh;
        if !growing.is_empty() && !even {
            return Some((node.clone(), growing));
        }
    }
    None
}

fn unevenly(node: &NodeId) -> Refusal {
    refuse(
        node,
        "its statistics run across the channels, so every channel must be copied equally often, within its group: all \
         of them by one whole factor, and not with `fresh`"
            .into(),
    )
}

/// Which unit each new one copies: every unit once before any twice, and at the end a random choice.
fn copies(channels: &Channels, piece: PieceId, size: usize, seed: u64) -> Vec<usize> {
    let units = channels.pieces.units(piece);
    let added = size - units;
    let mut order: Vec<usize> = (0..units).collect();
    Random::keyed(seed, Purpose::Shares, 0, &channels.pieces.name(piece)).shuffle(&mut order);
    let mut sources: Vec<usize> = (0..added / units).flat_map(|_| 0..units).collect();
    sources.extend(&order[..added % units]);
    sources
}
