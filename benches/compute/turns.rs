//! Turns: ours, theirs, ours, …, so that both sides see the same machine.
//!
//! A turn is some calls that settle the caches and threads and then calls that are timed; what counts is its median
//! call.

use std::time::Instant;

use rayon::ThreadPool;

use super::lines::Line;
use super::ours::Call;
use super::peer::Peers;
use super::variants::Variant;

/// The least and the most calls of a turn, and how many run before without being timed: the peer has the same.
const LEAST_CALLS: usize = 5;
const MOST_CALLS: usize = 20_000;
const SETTLING_CALLS: usize = 3;

/// A variant that took this many times as long as the best one in the first round is not measured again.
const HOPELESS: f64 = 1.4;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// About how many seconds of timed calls a turn has.
    pub seconds: f64,
}

/// Median, least and most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        Some(Self { median: numbers[numbers.len() / 2], least, most })
    }
}

/// One variant beside ours.
pub struct Compared {
    pub variant: Variant,
    /// Seconds of a call, one pair a turn: ours just before, then theirs.
    pub turns: Vec<(f64, f64)>,
    /// Why it cannot be measured.
    pub failure: Option<String>,
}

impl Compared {
    /// Seconds of their call.
    pub fn theirs(&self) -> Option<Spread> {
        Spread::of(self.turns.iter().map(|&(_, theirs)| theirs).collect())
    }

    /// Our throughput as a multiple of theirs, turn by turn.
    pub fn throughput(&self) -> Option<Spread> {
        Spread::of(self.turns.iter().map(|&(ours, theirs)| theirs / ours).collect())
    }
}

/// A line, measured.
pub struct Measured {
    pub line: Line,
    /// Seconds of our call, one a turn.
    pub ours: Vec<f64>,
    pub compared: Vec<Compared>,
}

impl Measured {
    /// The variant whose median call is the shortest.
    pub fn best(&self) -> Option<&Compared> {
        let timed = self.compared.iter().filter_map(|one| Some((one.theirs()?.median, one)));
        timed.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, best)| best)
    }
}

/// Measures a line beside every one of `variants`; alone where there is no peer.
///
/// # Errors
/// Our own side fails, or the peer's process ends. A variant that fails is part of the result.
pub fn measure(
    line: &Line,
    (call, pool): (&mut Call, &ThreadPool),
    (peers, variants): (Option<&mut Peers>, Vec<Variant>),
    effort: Effort,
) -> anyhow::Result<Measured> {
    let mut measured = Measured { line: line.clone(), ours: Vec::new(), compared: Vec::new() };
    let Some(peers) = peers else {
        for _ in 0..effort.rounds {
            measured.ours.push(turn(call, pool, effort.seconds)?);
        }
        return Ok(measured);
    };
    let unmeasured = |variant| Compared { variant, turns: Vec::new(), failure: None };
    measured.compared = variants.into_iter().map(unmeasured).collect();
    for round in 0..effort.rounds {
        let limit = measured.best().and_then(Compared::theirs).map_or(f64::INFINITY, |best| HOPELESS * best.median);
        for one in &mut measured.compared {
            let hopeless = round > 0 && one.theirs().is_some_and(|theirs| theirs.median > limit);
            if one.failure.is_some() || hopeless {
                continue;
            }
            // What the variant prepares (compiling takes minutes) is done before our turn, not between the two.
            let peer = peers.with(one.variant.malloc);
            if round == 0
                && let Err(failure) = peer.turn(line, &one.variant, 0.0)?
            {
                one.failure = Some(failure);
                continue;
            }
            let ours = turn(call, pool, effort.seconds)?;
            measured.ours.push(ours);
            match peer.turn(line, &one.variant, effort.seconds)? {
                Ok(calls) => one.turns.extend(Spread::of(calls).map(|theirs| (ours, theirs.median))),
                Err(failure) => one.failure = Some(failure),
            }
        }
    }
    Ok(measured)
}

/// One turn of ours: the median call in seconds. The calls run on a thread of the pool, as a trainer's turn does.
fn turn(call: &mut Call, pool: &ThreadPool, seconds: f64) -> anyhow::Result<f64> {
    let mut timed = || {
        for _ in 0..SETTLING_CALLS {
            call()?;
        }
        let (start, mut calls) = (Instant::now(), Vec::new());
        while calls.len() < MOST_CALLS && (calls.len() < LEAST_CALLS || start.elapsed().as_secs_f64() < seconds) {
            let start = Instant::now();
            call()?;
            calls.push(start.elapsed().as_secs_f64());
        }
        anyhow::Ok(calls)
    };
    let calls = pool.install(&mut timed)?;
    Ok(Spread::of(calls).expect("a turn has at least five calls").median)
}
