//! The two losses and their gradients by the network's output, and what logits mean.
//!
//! One arithmetic for outputs in plain slices and in tensors of any device: that of [`crate::compute::kernels::loss`].
//! Here it is made sure that labels fit. Used by trainers and by whoever answers.

use candle_core::Tensor;

use super::error::NetworkError;
use crate::compute::kernels::{Crew, loss};

/// The mean softmax cross-entropy of logits `[rows, classes]` against class indices, one a row. The logits become the
/// gradient of it.
///
/// # Errors
/// No rows, not the same number of logits for each, an index that is no class. Logits that are not finite give a loss that
/// is not.
pub fn cross_entropy(logits: &mut [f32], classes: &[u32]) -> Result<f64, NetworkError> {
    let width = width(logits, classes.len())?;
    if let Some(class) = classes.iter().find(|&&class| class as usize >= width) {
        return Err(NetworkError::Batch(format!("class index {class}, but there are {width} classes")));
    }
    let mut losses = vec![0.0; classes.len()];
    loss::cross_entropy(logits, classes, &mut losses, &Crew::alone());
    Ok(mean(&losses))
}

/// The mean squared error, halved, of one output a row against its target. The outputs become the gradient of it.
///
/// # Errors
/// No rows, more than one output for each.
pub fn squared_error(outputs: &mut [f32], targets: &[f32]) -> Result<f64, NetworkError> {
    let width = width(outputs, targets.len())?;
    if width != 1 {
        return Err(NetworkError::Batch(format!("{width} outputs, but a regression has 1")));
    }
    let mut losses = vec![0.0; targets.len()];
    loss::squared_error(outputs, targets, &mut losses);
    Ok(mean(&losses))
}

/// The same of an output in a tensor: the mean loss, and the gradient of it, of the output's shape and on its device.
pub fn of_tensor<E: From<candle_core::Error>>(
    output: &Tensor,
    loss: impl FnOnce(&mut [f32]) -> Result<f64, E>,
) -> Result<(f64, Tensor), E> {
    let mut gradient = output.flatten_all()?.to_vec1::<f32>()?;
    let mean = loss(&mut gradient)?;
    Ok((mean, Tensor::from_vec(gradient, output.shape(), output.device())?))
}

/// The probabilities of one row of logits; sums in f64, so that they add up to 1 as well as f32 can.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

/// How many outputs a row has, if there are as many for each.
fn width(outputs: &[f32], rows: usize) -> Result<usize, NetworkError> {
    if rows == 0 || outputs.is_empty() || !outputs.len().is_multiple_of(rows) {
        return Err(NetworkError::Batch(format!("{} outputs for {rows} labels", outputs.len())));
    }
    Ok(outputs.len() / rows)
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_their_number() {
        let mut logits = [5.0; 8];
        assert!((cross_entropy(&mut logits, &[0, 3]).unwrap() - 4f64.ln()).abs() < 1e-6);
        assert_eq!(logits[..4], [-0.375, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn gradients_agree_with_differences_of_the_mean_loss() {
        let logits = [0.3, -1.2, 2.0, 0.7, 0.1, -0.4];
        let targets = [1.0, 0.5, -2.0, 0.0, 3.0, 1.5];
        let entropy = |values: &mut [f32]| cross_entropy(values, &[2, 0]).unwrap();
        let squares = |values: &mut [f32]| squared_error(values, &targets).unwrap();
        for loss in [&entropy as &dyn Fn(&mut [f32]) -> f64, &squares] {
            let mut gradient = logits;
            loss(&mut gradient);
            for at in 0..logits.len() {
                let shifted = |by: f32| {
                    let mut logits = logits;
                    logits[at] += by;
                    loss(&mut logits)
                };
                let difference = (shifted(0.01) - shifted(-0.01)) / 0.02;
                assert!((difference - f64::from(gradient[at])).abs() < 1e-4, "{at}: {difference} {}", gradient[at]);
            }
        }
    }

    #[test]
    fn a_tensor_has_the_loss_and_the_gradient_of_its_numbers() {
        let mut numbers = [0.3, -1.2, 2.0, 0.7, 0.1, -0.4];
        let output = Tensor::from_slice(&numbers, (2, 3), &Device::Cpu).unwrap();
        let (mean, gradient) = of_tensor(&output, |logits| cross_entropy(logits, &[2, 0])).unwrap();
        assert_eq!(mean, cross_entropy(&mut numbers, &[2, 0]).unwrap());
        assert_eq!(gradient.dims(), [2, 3]);
        assert_eq!(gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap(), numbers);
    }

    #[test]
    fn probabilities_add_up_to_one_for_large_logits_and_no_class_means_none() {
        assert_eq!(softmax(&[1e30, 1e30, -1e30]), [0.5, 0.5, 0.0]);
        assert!((softmax(&[1.0, 2.0, 3.0]).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(softmax(&[]).is_empty());
    }

    #[test]
    fn labels_that_do_not_fit_are_refused_and_nothing_is_changed() {
        let mut numbers = [0.5; 4];
        assert!(cross_entropy(&mut numbers, &[0, 2]).is_err());
        assert!(cross_entropy(&mut numbers, &[0, 0, 0]).is_err());
        assert!(cross_entropy(&mut numbers, &[]).is_err());
        assert!(cross_entropy(&mut [], &[0]).is_err());
        assert!(squared_error(&mut numbers, &[0.0, 0.0]).is_err());
        assert!(squared_error(&mut numbers, &[]).is_err());
        assert_eq!(numbers, [0.5; 4]);
    }
}
