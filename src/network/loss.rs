//! The two losses and their gradients by the network's output.
//!
//! Sums run in f64 and in index order within a row; the gradient goes back to the output's device. Used by trainers.

use candle_core::Tensor;

use super::error::NetworkError;

/// The loss of a batch.
pub struct Loss {
    /// The loss of every row.
    pub rows: Vec<f32>,
    /// The gradient of the mean loss by the output, of the output's shape.
    pub gradient: Tensor,
}

/// Softmax cross-entropy of logits `[rows, classes]` against class indices.
///
/// # Errors
/// No rows, not one class index a row, an index that is no class. Logits that are not finite give a loss that is not.
pub fn cross_entropy(logits: &Tensor, classes: &[u32]) -> Result<Loss, NetworkError> {
    let width = width(logits, classes.len())?;
    let mut rows = Vec::with_capacity(classes.len());
    let mut gradient = logits.flatten_all()?.to_vec1::<f32>()?;
    let share = 1.0 / classes.len() as f64;
    for (row, &class) in gradient.chunks_exact_mut(width).zip(classes) {
        let target = *row
            .get(class as usize)
            .ok_or_else(|| NetworkError::Batch(format!("class index {class}, but there are {width} classes")))?;
        let largest = f64::from(largest(row));
        let total: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        rows.push((total.ln() + largest - f64::from(target)) as f32);
        for logit in row.iter_mut() {
            *logit = ((f64::from(*logit) - largest).exp() / total * share) as f32;
        }
        row[class as usize] -= share as f32;
    }
    Ok(Loss { rows, gradient: Tensor::from_vec(gradient, logits.shape(), logits.device())? })
}

/// Squared error, halved, of outputs `[rows, 1]` against targets.
///
/// # Errors
/// No rows, more than one output, not one target a row.
pub fn squared_error(output: &Tensor, targets: &[f32]) -> Result<Loss, NetworkError> {
    let width = width(output, targets.len())?;
    if width != 1 {
        return Err(NetworkError::Batch(format!("{width} outputs, but a regression has 1")));
    }
    let mut rows = Vec::with_capacity(targets.len());
    let mut gradient = output.flatten_all()?.to_vec1::<f32>()?;
    for (value, &target) in gradient.iter_mut().zip(targets) {
        let difference = f64::from(*value) - f64::from(target);
        rows.push((difference * difference / 2.0) as f32);
        *value = (difference / targets.len() as f64) as f32;
    }
    Ok(Loss { rows, gradient: Tensor::from_vec(gradient, output.shape(), output.device())? })
}

/// The probabilities of logits, row by row: softmax in f32 with the largest logit taken off first.
///
/// `logits` is one row; the result is as long and adds up to 1 but for rounding.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = largest(logits);
    let mut shares: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    shares
}

/// How many outputs a row has, if there is one row for each of `labels`.
fn width(output: &Tensor, labels: usize) -> Result<usize, NetworkError> {
    match *output.dims() {
        [rows, width] if rows == labels && rows > 0 && width > 0 => Ok(width),
        ref dims => Err(NetworkError::Batch(format!("an output of shape {dims:?} for {labels} labels"))),
    }
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f32], width: usize) -> Tensor {
        Tensor::from_vec(values.to_vec(), (values.len() / width, width), &Device::Cpu).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_their_number() {
        let loss = cross_entropy(&tensor(&[5.0; 8], 4), &[0, 3]).unwrap();
        assert!(loss.rows.iter().all(|row| (row - 4f32.ln()).abs() < 1e-6));
        assert_eq!(numbers(&loss.gradient)[..4], [-0.375, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn gradients_agree_with_differences_of_the_mean_loss() {
        let mean = |loss: Loss| loss.rows.iter().map(|&row| f64::from(row)).sum::<f64>() / loss.rows.len() as f64;
        let logits = [0.3, -1.2, 2.0, 0.7, 0.1, -0.4];
        let targets = [1.0, 0.5, -2.0, 0.0, 3.0, 1.5];
        let entropy = |values: &[f32]| cross_entropy(&tensor(values, 3), &[2, 0]).unwrap();
        let squares = |values: &[f32]| squared_error(&tensor(values, 1), &targets).unwrap();
        for loss in [&entropy as &dyn Fn(&[f32]) -> Loss, &squares] {
            let gradient = numbers(&loss(&logits).gradient);
            for at in 0..logits.len() {
                let shifted = |by: f32| {
                    let mut logits = logits;
                    logits[at] += by;
                    mean(loss(&logits))
                };
                let difference = (shifted(0.01) - shifted(-0.01)) / 0.02;
                assert!((difference - f64::from(gradient[at])).abs() < 1e-4, "{at}: {difference} {}", gradient[at]);
            }
        }
    }

    #[test]
    fn logits_of_any_size_do_not_overflow() {
        let loss = cross_entropy(&tensor(&[1e30, -1e30, 0.0], 3), &[0]).unwrap();
        assert_eq!(loss.rows, [0.0]);
        assert_eq!(softmax(&[1e30, -1e30, 1e30]), [0.5, 0.0, 0.5]);
        assert!((softmax(&[1.0, 2.0, 3.0]).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(softmax(&[]).is_empty());
    }

    #[test]
    fn a_logit_that_is_not_finite_shows_in_the_loss() {
        assert!(cross_entropy(&tensor(&[f32::NAN, 0.0], 2), &[1]).unwrap().rows[0].is_nan());
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        assert!(cross_entropy(&tensor(&[0.0; 4], 2), &[0, 2]).is_err());
        assert!(cross_entropy(&tensor(&[0.0; 4], 2), &[0]).is_err());
        assert!(cross_entropy(&tensor(&[0.0; 4], 2).narrow(0, 0, 0).unwrap(), &[]).is_err());
        assert!(squared_error(&tensor(&[0.0; 4], 2), &[0.0, 0.0]).is_err());
        assert!(squared_error(&tensor(&[0.0; 4], 1), &[0.0]).is_err());
    }
}
