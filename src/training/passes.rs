//! Passes over history while the stream is quiet: which comes next, and when they end.
//!
//! A pass is taken in parts short enough that new rows and orders never wait long; the parts are a function of the
//! network and the journal. Passes end when they no longer improve the loss, and begin again after a growth or once the
//! history has grown by a fiftieth, so that a trickle of rows is not answered by endless passes. Part of the progress.

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use crate::network::Network;
use crate::stream::Seq;

/// The work of one part in floating-point operations: about a second of one core.
const PART_FLOPS: u64 = 3_000_000_000;
/// The most rows of a part.
const PART_ROWS: usize = 8_192;
/// A backward pass costs about twice a forward pass.
const STEP_PASSES: u64 = 3;
/// A pass counts as an improvement when it lowers the best loss by this share of it.
const IMPROVEMENT: f64 = 0.01;
/// So many passes in a row without one end the passes.
const PATIENCE: u32 = 4;

/// Where the passes stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Passes {
    /// Passes begun in the learner's life: the key of the newest one's order.
    pub number: u32,
    /// The newest place that the newest pass covers.
    pub until: Seq,
    /// Rows of the newest pass that are done; absent between passes.
    pub offset: Option<u64>,
    /// Rows of the newest pass that were learned, and the sum of their losses.
    loss: (u64, Exact),
    /// Passes completed since the stream went quiet.
    completed: u32,
    /// The smallest loss of them.
    best: Option<Exact>,
    /// Passes in a row that did not improve it.
    stale: u32,
    /// How many examples there were when they ended; absent while they go on.
    settled_at: Option<u64>,
}

/// The pass to do a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextPass {
    pub number: u32,
    pub until: Seq,
}

impl Passes {
    /// Whether passes have ended because they no longer improve the loss.
    pub fn settled(&self) -> bool {
        self.settled_at.is_some()
    }

    /// Passes in a row that did not improve the loss.
    pub fn stale(&self) -> u32 {
        self.stale
    }

    /// The next pass, or the unfinished one, if there is anything to gain; `trained` is the newest place learned.
    pub fn next(&self, examples: u64, trained: Seq, most: u32) -> Option<NextPass> {
        if most == 0 || examples == 0 {
            return None;
        }
        if self.offset.is_some() {
            return Some(NextPass { number: self.number, until: self.until });
        }
        let wakes = |settled: u64| examples >= settled + (settled / 50).max(1);
        let open = self.settled_at.map_or(self.completed < most, wakes);
        open.then_some(NextPass { number: self.number + 1, until: trained })
    }

    /// A part of this pass begins; the rows of it that are done.
    pub fn begin(&mut self, pass: NextPass) -> u64 {
        if self.settled_at.is_some() {
            self.reopen();
        }
        if self.offset.is_none() {
            self.number = pass.number;
            self.until = pass.until;
            self.loss = (0, Exact(0.0));
        }
        *self.offset.get_or_insert(0)
    }

    /// A part of so many rows was learned at this mean loss.
    pub fn learned(&mut self, loss: Option<f64>, rows: u64) {
        if let Some(loss) = loss {
            self.loss = (self.loss.0 + rows, Exact(self.loss.1.0 + loss * rows as f64));
        }
    }

    /// Parts up to row `done` of `rows` are done; whether the pass is complete.
    pub fn advance(&mut self, done: u64, rows: u64) -> PassEnd {
        if done < rows {
            self.offset = Some(done);
            PassEnd::Part
        } else {
            self.offset = None;
            PassEnd::Whole
        }
    }

    /// A whole pass is done at so many examples. It is judged by the holdout loss after it, or else by the mean training
    /// loss during it.
    pub fn completed(&mut self, holdout: Option<f64>, examples: u64, most: u32) {
        self.completed += 1;
        let (rows, sum) = self.loss;
        let loss = holdout.or_else(|| (rows > 0).then(|| sum.0 / rows as f64));
        let improved = match (loss, self.best) {
            (Some(loss), Some(Exact(best))) => loss < best - IMPROVEMENT * best.abs(),
            (Some(loss), None) => loss.is_finite(),
            (None, _) => false,
        };
        if improved {
            self.stale = 0;
            self.best = loss.map(Exact);
        } else {
            self.stale += 1;
        }
        if self.stale >= PATIENCE || self.completed >= most {
            self.settled_at = Some(examples);
        }
    }

    /// There is something to gain again: the network or the settings changed.
    pub fn reopen(&mut self) {
        *self = Self { number: self.number, until: self.until, ..Self::default() };
    }
}

/// What a part brought its pass to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassEnd {
    /// More parts are to come.
    Part,
    /// It is complete.
    Whole,
}

/// How many rows a part of a pass has: whole batches.
pub(super) fn part_rows(network: &Network, batch: usize) -> usize {
    let row = (network.flops_per_row() * STEP_PASSES).max(1);
    let rows = usize::try_from(PART_FLOPS / row).unwrap_or(PART_ROWS).min(PART_ROWS);
    (rows / batch).max(1) * batch
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u32 = 20;

    fn pass(passes: &mut Passes, loss: f64, examples: u64) -> bool {
        let Some(next) = passes.next(examples, Seq(examples), MOST) else { return false };
        passes.begin(next);
        assert_eq!(passes.advance(examples, examples), PassEnd::Whole);
        passes.completed(Some(loss), examples, MOST);
        true
    }

    #[test]
    fn passes_end_four_passes_after_the_last_improvement() {
        let mut passes = Passes::default();
        let losses = [1.0, 0.8, 0.797, 0.7, 0.699, 0.698, 0.697, 0.696, 0.1];
        let done = losses.iter().filter(|&&loss| pass(&mut passes, loss, 500)).count();
        assert_eq!(done, 8);
        assert!(passes.settled());
    }

    #[test]
    fn passes_end_at_the_most_that_the_settings_allow() {
        let mut passes = Passes::default();
        let done = (0..100).filter(|pass_index| pass(&mut passes, 1.0 / f64::from(pass_index + 1), 500)).count();
        assert_eq!(done, MOST as usize);
    }

    #[test]
    fn settled_passes_begin_again_when_history_has_grown_by_a_fiftieth() {
        let mut passes = Passes::default();
        while pass(&mut passes, 1.0, 500) {}
        assert!(passes.next(509, Seq(509), MOST).is_none());
        let next = passes.next(510, Seq(510), MOST).expect("a fiftieth more");
        passes.begin(next);
        assert!(!passes.settled());
    }

    #[test]
    fn an_interrupted_pass_goes_on_where_it_stood() {
        let mut passes = Passes::default();
        let first = passes.next(500, Seq(500), MOST).expect("nothing was passed over yet");
        assert_eq!(passes.begin(first), 0);
        assert_eq!(passes.advance(128, 480), PassEnd::Part);
        let second = passes.next(600, Seq(600), MOST).expect("the pass is not complete");
        assert_eq!(second, first);
        assert_eq!(passes.begin(second), 128);
    }

    #[test]
    fn a_growth_opens_the_passes_again() {
        let mut passes = Passes::default();
        while pass(&mut passes, 1.0, 500) {}
        passes.reopen();
        assert!(passes.next(500, Seq(500), MOST).is_some());
    }
}
