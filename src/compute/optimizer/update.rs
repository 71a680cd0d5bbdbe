//! One step of one parameter: plain loops over its elements, each span of equal birth with its own rate and bias
//! correction.
//!
//! The same on every device: numbers come to the CPU and go back. Called by [`Optimizer::update`] only.

use candle_core::{Result, Tensor};

use super::rate::age;
use super::spans::spans;
use super::{Moments, Optimizer, Rate};

/// What a step is given besides the moments.
pub(super) struct Step<'a> {
    pub parameter: &'a Tensor,
    pub gradient: &'a Tensor,
    /// The number of this step; the first is 1.
    pub number: u64,
    pub rate: &'a Rate,
}

/// The parameter after the step; the moments change only if nothing fails.
pub(super) fn update(optimizer: &Optimizer, step: Step<'_>, moments: &mut Moments) -> Result<Tensor> {
    let mut parameter = numbers(step.parameter, step.parameter)?;
    let gradient = numbers(step.gradient, step.parameter)?;
    match *optimizer {
        Optimizer::Sgd { momentum } => {
            let mut first = moment(&moments.first, step.parameter)?;
            for span in spans(step.parameter.dims(), moments)? {
                let rate = step.rate.at(step.number, span.birth);
                let constants =
                    Sgd { momentum: momentum as f32, rate: rate as f32, decay: (rate * step.rate.decay) as f32 };
                let range = span.start..span.end;
                constants.step(&mut parameter[range.clone()], &gradient[range.clone()], &mut first[range]);
            }
            moments.first = Some(like(step.parameter, first)?);
        }
        Optimizer::RmsProp { decay, epsilon } => {
            let mut second = moment(&moments.second, step.parameter)?;
            for span in spans(step.parameter.dims(), moments)? {
                let rate = step.rate.at(step.number, span.birth);
                let constants = RmsProp {
                    keep: decay as f32,
                    rest: (1.0 - decay) as f32,
                    epsilon: epsilon as f32,
                    rate: rate as f32,
                    decay: (rate * step.rate.decay) as f32,
                    root: correction(decay, age(step.number, span.birth)).sqrt() as f32,
                };
                let range = span.start..span.end;
                constants.step(&mut parameter[range.clone()], &gradient[range.clone()], &mut second[range]);
            }
            moments.second = Some(like(step.parameter, second)?);
        }
        Optimizer::Adam { beta1, beta2, epsilon } => {
            let mut first = moment(&moments.first, step.parameter)?;
            let mut second = moment(&moments.second, step.parameter)?;
            for span in spans(step.parameter.dims(), moments)? {
                let (rate, age) = (step.rate.at(step.number, span.birth), age(step.number, span.birth));
                let constants = Adam {
                    beta1: beta1 as f32,
                    rest1: (1.0 - beta1) as f32,
                    beta2: beta2 as f32,
                    rest2: (1.0 - beta2) as f32,
                    epsilon: epsilon as f32,
                    rate: (rate * correction(beta1, age)) as f32,
                    decay: (rate * step.rate.decay) as f32,
                    root: correction(beta2, age).sqrt() as f32,
                };
                let range = span.start..span.end;
                let means = Means { first: &mut first[range.clone()], second: &mut second[range.clone()] };
                constants.step(&mut parameter[range.clone()], &gradient[range], means);
            }
            let (first, second) = (like(step.parameter, first)?, like(step.parameter, second)?);
            (moments.first, moments.second) = (Some(first), Some(second));
        }
    }
    like(step.parameter, parameter)
}

struct Sgd {
    momentum: f32,
    rate: f32,
    /// The share of a parameter that the step takes from it.
    decay: f32,
}

impl Sgd {
    fn step(&self, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        for ((parameter, gradient), velocity) in parameter.iter_mut().zip(gradient).zip(velocity) {
            *velocity = self.momentum * *velocity + gradient;
            *parameter -= self.decay * *parameter + self.rate * *velocity;
        }
    }
}

struct RmsProp {
    /// The share of the mean of squares that stays.
    keep: f32,
    rest: f32,
    epsilon: f32,
    rate: f32,
    /// The share of a parameter that the step takes from it.
    decay: f32,
    /// The square root of the second moment's bias correction.
    root: f32,
}

impl RmsProp {
    fn step(&self, parameter: &mut [f32], gradient: &[f32], square: &mut [f32]) {
        for ((parameter, gradient), square) in parameter.iter_mut().zip(gradient).zip(square) {
            *square = self.keep * *square + self.rest * gradient * gradient;
            *parameter -= self.decay * *parameter + self.rate * gradient / (square.sqrt() * self.root + self.epsilon);
        }
    }
}

struct Adam {
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    epsilon: f32,
    /// The learning rate with the first moment's bias correction.
    rate: f32,
    /// The share of a parameter that the step takes from it.
    decay: f32,
    /// The square root of the second moment's bias correction.
    root: f32,
}

struct Means<'a> {
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Adam {
    fn step(&self, parameter: &mut [f32], gradient: &[f32], means: Means<'_>) {
        let means = means.first.iter_mut().zip(means.second);
        for ((parameter, gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(means) {
            *first = self.beta1 * *first + self.rest1 * gradient;
            *second = self.beta2 * *second + self.rest2 * gradient * gradient;
            *parameter -= self.decay * *parameter + self.rate * *first / (second.sqrt() * self.root + self.epsilon);
        }
    }
}

/// 1 / (1 - decay^age): what turns a mean that began at zero into one without bias (Kingma and Ba 2015, §3).
pub(super) fn correction(decay: f64, age: u64) -> f64 {
    1.0 / (1.0 - power(decay, age))
}

/// By repeated squaring: the standard library's `powi` promises neither precision nor the same bits everywhere.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

fn numbers(tensor: &Tensor, parameter: &Tensor) -> Result<Vec<f32>> {
    if tensor.dims() != parameter.dims() {
        candle_core::bail!("shape {:?} for a parameter of shape {:?}", tensor.dims(), parameter.dims());
    }
    tensor.flatten_all()?.to_vec1()
}

fn moment(moment: &Option<Tensor>, parameter: &Tensor) -> Result<Vec<f32>> {
    match moment {
        Some(moment) => numbers(moment, parameter),
        None => candle_core::bail!("the moments are those of another optimizer"),
    }
}

fn like(parameter: &Tensor, values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(values, parameter.shape(), parameter.device())
}
