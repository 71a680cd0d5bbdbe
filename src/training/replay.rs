//! Which rows a step learns from: the newest rows of a round in order, and replay of older ones.
//!
//! Pure functions of history up to a place, settings and step number; every draw is keyed, so a restart chooses the same
//! rows. Called by the trainer.

use super::history::History;
use super::settings::TrainingSettings;
use crate::stream::Seq;

/// One step of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundStep {
    /// The optimizer step's number (1 for the learner's first): the key of its randomness.
    pub step: u64,
    /// Which step of the round this is, from 0.
    pub index: usize,
}

/// How many optimizer steps a round brings: `steps_per_row` × the learned rows, with fractions carried from round to
/// round without a state: `learned_before` and `learned_after` are [`History::learned_count`] around the round.
pub fn round_steps(settings: &TrainingSettings, learned_before: usize, learned_after: usize) -> usize {
    let _ = (settings, learned_before, learned_after);
    unimplemented!("helper E1")
}

/// The rows of one step of a round. `new`: the learned rows of the round, in order ([`History::learned_between`]);
/// `until`: the round's last place. At most `batch` rows, fewer while history is shorter; empty if nothing is learned yet.
pub fn step_rows(history: &History, settings: &TrainingSettings, new: &[Seq], until: Seq, step: RoundStep) -> Vec<Seq> {
    let _ = (history, settings, new, until, step);
    unimplemented!("helper E1")
}

/// The rows of pass `number` over history up to `until`, shuffled; a step takes the next `batch` of them
/// (`order.chunks(batch)`). Of a long history each pass takes a slice, and the slices take turns.
pub fn pass_order(history: &History, seed: u64, number: u32, until: Seq) -> Vec<Seq> {
    let _ = (history, seed, number, until);
    unimplemented!("helper E1")
}
