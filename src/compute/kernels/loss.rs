//! The losses on plain slices: the loss of every row, and the gradient of their mean in the place of the outputs.

use super::crew::{Crew, Shared};
use super::exp::exp;
use crate::compute::vectors::{Loop, widest};

/// Sums of a row run in so many lanes.
const LANES: usize = 16;

/// Softmax cross-entropy of logits `[rows, classes]` against class indices, one a row and each below the number of
/// classes. The logits become the gradient of the mean loss, `losses` the loss of every row. Logits that are not finite
/// give a loss that is not.
pub fn cross_entropy(logits: &mut [f32], classes: &[u32], losses: &mut [f32], crew: &Crew) {
    let (rows, width) = (classes.len(), logits.len() / classes.len());
    let share = 1.0 / rows as f64;
    let (count, together) = (logits.len(), rows_of_task(width));
    let (logits, losses) = (Shared::new(logits), Shared::new(losses));
    crew.pieces(rows, together, 30 * count, |range| {
        // SAFETY: rows do not overlap.
        let (logits, losses) =
            unsafe { (logits.part(range.start * width..range.end * width), losses.part(range.clone())) };
        for ((row, &class), loss) in logits.chunks_exact_mut(width).zip(&classes[range]).zip(losses) {
            let target = f64::from(row[class as usize]);
            let Softmax { largest, total } = widest(Powers { row: &mut *row });
            *loss = (total.ln() + f64::from(largest) - target) as f32;
            widest(Scale { row: &mut *row, factor: (share / total) as f32 });
            row[class as usize] -= share as f32;
        }
    });
}

/// Squared error, halved, of one output a row against its target. The outputs become the gradient of the mean loss.
pub fn squared_error(outputs: &mut [f32], targets: &[f32], losses: &mut [f32]) {
    let rows = targets.len() as f64;
    for ((output, &target), loss) in outputs.iter_mut().zip(targets).zip(losses) {
        let difference = f64::from(*output) - f64::from(target);
        *loss = (difference * difference / 2.0) as f32;
        *output = (difference / rows) as f32;
    }
}

/// Rows that a task takes: about a thousand numbers.
fn rows_of_task(width: usize) -> usize {
    1024usize.div_ceil(width)
}

/// What a softmax is made of.
struct Softmax {
    largest: f32,
    /// The sum of the powers of e of all logits less the largest.
    total: f64,
}

/// Turns a row of logits into those powers.
struct Powers<'a> {
    row: &'a mut [f32],
}

impl Loop for Powers<'_> {
    type Output = Softmax;

    #[inline(always)]
    fn run(self) -> Softmax {
        let (blocks, rest) = self.row.as_chunks_mut::<LANES>();
        let larger = |a: f32, b: f32| if b > a { b } else { a };
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for block in &*blocks {
            lanes.iter_mut().zip(block).for_each(|(lane, &logit)| *lane = larger(*lane, logit));
        }
        let largest = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger);
        let mut sums = [0.0f64; LANES];
        for block in blocks {
            for (sum, logit) in sums.iter_mut().zip(block) {
                *logit = exp(*logit - largest);
                *sum += f64::from(*logit);
            }
        }
        rest.iter_mut().for_each(|logit| *logit = exp(*logit - largest));
        let total = sums.into_iter().chain(rest.iter().map(|&power| f64::from(power))).sum();
        Softmax { largest, total }
    }
}

/// Multiplies a row.
struct Scale<'a> {
    row: &'a mut [f32],
    factor: f32,
}

impl Loop for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.row.iter_mut().for_each(|number| *number *= self.factor);
    }
}
