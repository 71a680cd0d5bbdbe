//! Inputs: new features at the end of a flat input, as zero columns wherever the input is consumed.
//!
//! Nothing that the network computes changes for any value of the new features, bit for bit.

use crate::network::{Network, NodeId};

use super::inference::Channels;
use super::pieces::Fixture;
use super::plan::{Design, Preserves};
use super::refusal::Refusal;
use super::step::{Added, UnitGrowth};
use super::student::{self, Sizes, refuse};

/// What the growth would do, or why not.
pub(super) fn design(network: &Network, add: usize) -> Result<Design, Refusal> {
    if add == 0 {
        return Err(Refusal::Request { reason: "a growth of inputs adds at least one".into() });
    }
    let input = NodeId::input();
    if network.input().plane().is_some() {
        let reason = format!("it is an image of {}; only flat inputs grow", network.input());
        return Err(refuse(&input, reason));
    }
    let channels = Channels::infer(network);
    let expression = channels.of(network, &input);
    let last = expression.last().expect("the input has at least one channel: `Network::new` refuses none").piece;
    let alone = expression.iter().filter(|segment| segment.piece == last).count() == 1
        && channels.pieces.fixtures(last) == [Fixture::Input]
        && expression.iter().all(|segment| segment.piece != last || segment.block == 1);
    if !alone || !channels.producers(network, &input).is_empty() {
        let reason = "it cannot grow at its end: it is summed with other channels, or reaches the output unchanged";
        return Err(refuse(&input, reason.into()));
    }
    let holds_last = |other: &&(NodeId, _)| channels.of(network, &other.0).iter().any(|segment| segment.piece == last);
    if let Some((node, _)) = channels.across.iter().find(holds_last) {
        let reason = "its statistics run across the inputs, so a new one would change what it makes of the old";
        return Err(refuse(node, reason.into()));
    }
    let size = channels.pieces.units(last).checked_add(add);
    let too_many = || Refusal::Request { reason: "the network would have more inputs than can be counted".into() };
    let sizes = Sizes::from([(last, size.ok_or_else(too_many)?)]);
    let student = student::student(network, &channels, &sizes)?;
    let grow = |piece, _| UnitGrowth { units: channels.pieces.units(piece), added: Added::New(add) };
    let step = student::step(network, &channels, &sizes, student, grow);
    Ok(Design { steps: vec![step], preserves: Preserves::Bits })
}
