//! Times as ratios: what is measured and what it is compared with take turns, so that both see the same machine.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long something takes, as multiples of something else: the median over the turns, and the least and the most.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// The median time of the unit.
    pub unit: Duration,
}

impl Ratio {
    /// Turns of `unit` and `work`, one after the other; the first counts only where it is the only one. What they make is
    /// dropped outside of the measured time.
    pub fn measure<U, W>(turns: usize, mut unit: impl FnMut() -> U, mut work: impl FnMut() -> W) -> Self {
        let mut turn = || (time(&mut unit), time(&mut work));
        if turns > 1 {
            turn();
        }
        let measured: Vec<(Duration, Duration)> = (0..turns.max(1)).map(|_| turn()).collect();
        let mut ratios: Vec<f64> =
            measured.iter().map(|(unit, work)| work.as_secs_f64() / unit.as_secs_f64().max(1e-9)).collect();
        let mut units: Vec<Duration> = measured.iter().map(|(unit, _)| *unit).collect();
        ratios.sort_by(f64::total_cmp);
        units.sort();
        let middle = ratios.len() / 2;
        Self { median: ratios[middle], least: ratios[0], most: ratios[ratios.len() - 1], unit: units[middle] }
    }
}

fn time<R>(work: &mut impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    let result = black_box(work());
    let taken = start.elapsed();
    drop(result);
    taken
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most, .. } = self;
        let decimals = if *median < 10.0 { 2 } else { 0 };
        write!(formatter, "{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
    }
}
