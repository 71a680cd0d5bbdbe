//! The course of a loss: the mean of the newest window of rows and of the window before it.
//!
//! Windows count rows and grow with the stream, so one set of defaults serves small and large streams. Bounded memory;
//! goes into the checkpoint bit for bit. Filled by the trainer, read into [`crate::policy::Signals`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::exact::Exact;

/// The smallest and the largest window, in rows.
const WINDOWS: (u64, u64) = (64, 2_000);

/// The share of all learned rows that is one window.
const WINDOW_SHARE: u64 = 10;

/// Rows are kept in blocks of at least so many.
const BLOCK_ROWS: u64 = 16;

/// The losses since the last growth, in blocks of rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LossTrend {
    blocks: VecDeque<Block>,
}

/// Consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Block {
    rows: u64,
    sum: Exact,
}

impl LossTrend {
    /// Takes the mean loss of the next `rows` rows (a round, a step).
    pub fn push(&mut self, rows: u64, mean_loss: f64) {
        let sum = mean_loss * rows as f64;
        match self.blocks.back_mut() {
            Some(block) if block.rows < BLOCK_ROWS => {
                block.rows += rows;
                block.sum.0 += sum;
            }
            _ => self.blocks.push_back(Block { rows, sum: Exact(sum) }),
        }
        // A window ends with a whole block, so two of them may take up to a block more each.
        let largest = self.blocks.iter().map(|block| block.rows).max().unwrap_or(0);
        let mut kept: u64 = self.blocks.iter().map(|block| block.rows).sum();
        while let Some(oldest) = self.blocks.front().filter(|oldest| kept - oldest.rows >= 2 * (WINDOWS.1 + largest)) {
            kept -= oldest.rows;
            self.blocks.pop_front();
        }
    }

    /// Forgets everything: after a growth, whose learning rate restarts.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }

    /// The mean of the newest window and of the one before it, for windows of about `window` rows ([`window_rows`]);
    /// `None` while there are not that many.
    pub fn windows(&self, window: u64) -> (Option<f64>, Option<f64>) {
        let mut blocks = self.blocks.iter().rev();
        let mut mean = || {
            let (mut rows, mut sum) = (0, 0.0);
            while rows < window {
                let block = blocks.next()?;
                rows += block.rows;
                sum += block.sum.0;
            }
            Some(sum / rows as f64)
        };
        let newest = mean();
        (newest, newest.and_then(|_| mean()))
    }
}

/// How many rows a window has after `examples` learned rows.
pub fn window_rows(examples: u64) -> u64 {
    (examples / WINDOW_SHARE).clamp(WINDOWS.0, WINDOWS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_window_and_the_one_before_are_told_apart() {
        let mut trend = LossTrend::default();
        trend.push(64, 2.0);
        assert_eq!(trend.windows(64), (Some(2.0), None));
        trend.push(64, 1.0);
        assert_eq!(trend.windows(64), (Some(1.0), Some(2.0)));
        assert_eq!(trend.windows(1_000), (None, None));
        trend.clear();
        assert_eq!(trend.windows(64), (None, None));
    }

    #[test]
    fn rounds_of_any_size_keep_two_of_the_largest_windows() {
        for rows in [1, 60, 61, 62, 64, 100, 1_000] {
            let mut trend = LossTrend::default();
            for round in 0..30_000 / rows {
                trend.push(rows, round as f64);
                let both = trend.windows(WINDOWS.1);
                assert!(
                    (round + 1) * rows < 2 * (WINDOWS.1 + rows) || both.1.is_some(),
                    "rounds of {rows}, after {round}"
                );
            }
        }
    }

    #[test]
    fn single_rows_make_the_same_windows_as_rounds() {
        let mut trend = LossTrend::default();
        (0..128).for_each(|row| trend.push(1, f64::from(u8::from(row < 64))));
        assert_eq!(trend.windows(64), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn memory_is_bounded_and_still_holds_two_of_the_largest_windows() {
        let mut trend = LossTrend::default();
        (0..100_000).for_each(|_| trend.push(1, 0.5));
        assert!(trend.blocks.len() <= 260, "{}", trend.blocks.len());
        assert_eq!(trend.windows(WINDOWS.1), (Some(0.5), Some(0.5)));
    }

    #[test]
    fn it_comes_back_from_a_checkpoint_bit_for_bit() {
        let mut trend = LossTrend::default();
        (1..50).for_each(|row| trend.push(3, 1.0 / f64::from(row)));
        let stored = serde_json::to_string(&trend).unwrap();
        assert_eq!(serde_json::from_str::<LossTrend>(&stored).unwrap(), trend);
    }
}
