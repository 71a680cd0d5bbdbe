//! The course of a loss: the mean of the newest window of rows and of the window before it.
//!
//! Windows count rows and grow with the stream, so one set of defaults serves small and large streams. Bounded memory;
//! goes into the checkpoint bit for bit. Filled by the trainer, read into [`crate::policy::Signals`].

use serde::{Deserialize, Serialize};

/// The losses since the last growth, in blocks of rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LossTrend {
    blocks: Vec<Block>,
}

/// Consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Block {
    rows: u64,
    sum_bits: u64,
}

impl LossTrend {
    /// Takes the mean loss of the next `rows` rows (a round, a step).
    pub fn push(&mut self, rows: u64, mean_loss: f64) {
        let _ = (rows, mean_loss, &self.blocks);
        unimplemented!("helper E1")
    }

    /// Forgets everything: after a growth, whose learning rate restarts.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }

    /// The mean of the newest window and of the one before it, for windows of about `window` rows ([`window_rows`]);
    /// `None` while there are not that many.
    pub fn windows(&self, window: u64) -> (Option<f64>, Option<f64>) {
        let _ = window;
        unimplemented!("helper E1")
    }
}

/// How many rows a window has after `examples` learned rows.
pub fn window_rows(examples: u64) -> u64 {
    let _ = examples;
    unimplemented!("helper E1")
}
