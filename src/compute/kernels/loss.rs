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
    crew.pieces(rows, together, 70 * count, |range| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::random::{Purpose, Random};

    #[test]
    fn losses_and_gradients_are_those_of_the_formulas_in_f64() {
        let mut random = Random::keyed(1, Purpose::Probe, 0, "loss");
        for (rows, width) in [(1, 1), (3, 2), (5, 10), (70, 16), (4, 33), (2, 1000)] {
            let logits: Vec<f32> = (0..rows * width).map(|_| (random.normal() * 5.0 + 20.0) as f32).collect();
            let classes: Vec<u32> = (0..rows).map(|_| random.below(width) as u32).collect();
            let (mut gradient, mut losses) = (logits.clone(), vec![f32::NAN; rows]);
            cross_entropy(&mut gradient, &classes, &mut losses, &Crew::alone());
            for (row, &class) in classes.iter().enumerate() {
                let of_row = |values: &[f32]| -> Vec<f64> {
                    values[row * width..(row + 1) * width].iter().copied().map(f64::from).collect()
                };
                let (logits, gradient) = (of_row(&logits), of_row(&gradient));
                let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
                let expected = total.ln() - logits[class as usize];
                assert!((f64::from(losses[row]) - expected).abs() < 1e-6 * expected.max(1.0), "{rows} {width}");
                for (at, (found, logit)) in gradient.iter().zip(&logits).enumerate() {
                    let target = f64::from(u8::from(at == class as usize));
                    assert!((found * rows as f64 - (logit.exp() / total - target)).abs() < 1e-6, "{rows} {width}");
                }
            }
        }
    }

    #[test]
    fn logits_of_any_size_do_not_overflow_and_one_that_is_not_a_number_shows() {
        let (mut logits, mut losses) = ([1e30, -1e30, 0.0, f32::NAN, 0.0, 0.0], [1.0; 2]);
        cross_entropy(&mut logits, &[0, 1], &mut losses, &Crew::alone());
        assert_eq!((losses[0], &logits[..3]), (0.0, &[0.0; 3][..]));
        assert!(losses[1].is_nan() && logits[3..].iter().all(|number| number.is_nan()));
    }

    #[test]
    fn a_squared_error_is_halved_and_its_gradient_is_that_of_the_mean() {
        let (mut outputs, mut losses) = ([3.0, 1.0], [f32::NAN; 2]);
        squared_error(&mut outputs, &[1.0, 2.0], &mut losses);
        assert_eq!((losses, outputs), ([2.0, 0.5], [1.0, -0.5]));
    }
}
