//! Which rows a step learns from: the newest rows of a round in order, and replay of older ones.
//!
//! Pure functions of history up to a place, settings and step number; every draw is keyed, so a restart chooses the same
//! rows. Called by the trainer.

use super::history::{History, mix};
use super::settings::TrainingSettings;
use crate::compute::random::{Purpose, Random};
use crate::stream::Seq;

/// Mean age, in rows, of what the time-decayed half of replay draws.
const RECENT_ROWS: f64 = 1_000.0;

/// The most rows of one pass over history; a longer history is passed over in slices.
const PASS_ROWS: usize = 131_072;

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
    let steps = |learned: usize| (learned as f64 * settings.steps_per_row).floor() as usize;
    steps(learned_after).saturating_sub(steps(learned_before))
}

/// The rows of one step of a round. `new`: the learned rows of the round, in order ([`History::learned_between`]);
/// `until`: the round's last place. At most `batch` rows, fewer while history is shorter; empty if nothing is learned yet.
///
/// `replay_share` of the batch is replay; a round too short for the rest is filled with replay too. The new rows are taken
/// in turn, so that over the steps of a round each comes equally often, give or take one.
pub fn step_rows(history: &History, settings: &TrainingSettings, new: &[Seq], until: Seq, step: RoundStep) -> Vec<Seq> {
    let replayed = ((settings.batch as f64 * settings.replay_share).round() as usize).min(settings.batch);
    // A batch without a single new row would leave the round unlearned, whatever the share.
    let newest = (settings.batch - replayed).max(1).min(new.len());
    let mut rows: Vec<Seq> = (0..newest).map(|row| new[(step.index * newest + row) % new.len()]).collect();
    if settings.replay_share > 0.0 {
        let room = settings.batch.saturating_sub(newest).min(history.learned_count(until));
        replay(history, until, room, &mut Random::keyed(settings.seed, Purpose::Replay, step.step, ""), &mut rows);
    }
    rows
}

/// The rows of pass `number` over history up to `until`, shuffled; a step takes the next `batch` of them
/// (`order.chunks(batch)`). Of a long history each pass takes a slice, and the slices take turns.
pub fn pass_order(history: &History, seed: u64, number: u32, until: Seq) -> Vec<Seq> {
    let slices = history.learned_count(until).div_ceil(PASS_ROWS).max(1) as u64;
    let turn = (u64::from(number) + until.0) % slices;
    let places = history.learned_places(Seq(1), until);
    let mut order: Vec<Seq> = places.filter(|seq| slices == 1 || mix(seq.0) % slices == turn).collect();
    Random::keyed(seed, Purpose::Pass, until.0, &number.to_string()).shuffle(&mut order);
    order
}

/// Draws `count` older rows, with replacement: half by age (exponentially decaying), half uniform within a class that is
/// drawn uniformly, so that rare classes are not forgotten.
fn replay(history: &History, until: Seq, count: usize, random: &mut Random, rows: &mut Vec<Seq>) {
    let recent = count / 2;
    let seen = until.min(history.head()).0;
    for _ in 0..recent {
        let age = (-(1.0 - random.uniform()).ln() * RECENT_ROWS) as u64;
        // Ages beyond a short history wrap around, which makes them uniform there.
        let place = seen - age % seen.max(1);
        rows.extend(history.learned_near(Seq(place), until));
    }
    let classes: Vec<&[u64]> = history.classes(until).collect();
    if classes.is_empty() {
        return;
    }
    for _ in recent..count {
        let places = classes[random.below(classes.len())];
        rows.push(Seq(places[random.below(places.len())]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Holdout;
    use super::*;
    use crate::stream::{Label, LearnerName};

    /// A stream in which every hundredth row is of the rare class.
    fn history(rows: u64) -> History {
        let mut history = History::new(Holdout::new(&LearnerName::parse("rare").unwrap(), 0.05));
        let class = |seq: u64| Label::Class(if seq.is_multiple_of(100) { "rare" } else { "common" }.into());
        let labels: Vec<Label> = (1..=rows).map(class).collect();
        history.append((1..=rows).map(Seq).zip(labels.iter().map(Some)));
        history
    }

    fn settings() -> TrainingSettings {
        TrainingSettings { batch: 32, replay_share: 0.5, steps_per_row: 0.25, ..TrainingSettings::default() }
    }

    #[test]
    fn every_new_row_comes_about_equally_often() {
        let history = history(1_000);
        let new = history.learned_between(Seq(901), Seq(1_000));
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..50 {
            let step = RoundStep { step: 7, index };
            for seq in &step_rows(&history, &settings(), &new, Seq(1_000), step)[..16] {
                *counts.entry(*seq).or_insert(0) += 1;
            }
        }
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert_eq!(counts.len(), new.len());
        assert!(most - least <= 1, "{least} to {most}");
    }

    #[test]
    fn replay_brings_back_the_rare_class() {
        let history = history(10_000);
        let new = history.learned_between(Seq(9_901), Seq(9_999));
        let rare = (0..100)
            .flat_map(|step| step_rows(&history, &settings(), &new, Seq(9_999), RoundStep { step, index: 0 }))
            .filter(|seq| seq.0.is_multiple_of(100))
            .count();
        // 8 of 32 are class-balanced, so about 4 of them are rare: 400 of 3,200, where chance alone would give 32.
        assert!((300..520).contains(&rare), "{rare}");
    }

    #[test]
    fn no_step_sees_a_held_out_or_a_later_row() {
        let history = history(3_000);
        let until = Seq(2_000);
        let new = history.learned_between(Seq(1_937), until);
        for step in 0..200 {
            let rows = step_rows(&history, &settings(), &new, until, RoundStep { step, index: step as usize });
            assert_eq!(rows.len(), 32);
            assert!(rows.iter().all(|&seq| seq <= until && seq.0 > 0 && !history.holdout().contains(seq)));
        }
    }

    #[test]
    fn rows_that_came_later_do_not_change_a_choice() {
        let (short, long) = (history(500), history(5_000));
        let new = short.learned_between(Seq(437), Seq(500));
        let step = RoundStep { step: 3, index: 1 };
        assert_eq!(
            step_rows(&short, &settings(), &new, Seq(500), step),
            step_rows(&long, &settings(), &new, Seq(500), step)
        );
        assert_eq!(pass_order(&short, 1, 2, Seq(500)), pass_order(&long, 1, 2, Seq(500)));
    }

    #[test]
    fn the_first_rows_of_a_life_are_enough_for_a_step() {
        let history = history(3);
        let new = history.learned_between(Seq(1), Seq(3));
        let rows = step_rows(&history, &settings(), &new, Seq(3), RoundStep { step: 1, index: 0 });
        assert!(rows.len() >= new.len() && rows.len() <= 2 * new.len());
        assert!(step_rows(&history, &settings(), &[], Seq(0), RoundStep { step: 1, index: 0 }).is_empty());
    }

    #[test]
    fn fractions_of_a_step_are_carried_from_round_to_round() {
        let settings = settings();
        let steps: usize = (0..100).map(|round| round_steps(&settings, 3 * round, 3 * (round + 1))).sum();
        assert_eq!(steps, 75);
    }

    #[test]
    fn a_pass_visits_every_learned_row_once_and_two_passes_differ() {
        let history = history(700);
        let (one, two) = (pass_order(&history, 1, 1, Seq(700)), pass_order(&history, 1, 2, Seq(700)));
        assert_ne!(one, two);
        for mut order in [one, two] {
            order.sort();
            assert_eq!(order, history.learned_between(Seq(1), Seq(700)));
        }
    }

    #[test]
    fn the_slices_of_a_long_history_cover_it() {
        let history = history(200_000);
        let mut all = pass_order(&history, 1, 1, Seq(200_000));
        assert!(all.len() < 100_000);
        all.extend(pass_order(&history, 1, 2, Seq(200_000)));
        all.sort();
        assert_eq!(all, history.learned_between(Seq(1), Seq(200_000)));
    }
}
