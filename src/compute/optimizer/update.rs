//! One step of one parameter that is a tensor: [`Constants::step`] over its spans of equal birth.
//!
//! For tensors on the CPU. Called by [`Optimizer::step`] only.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::fused::{Constants, Run, Terms};
use super::spans::Span;
use super::{Moments, Optimizer, Unsteppable, UpdateError};

/// The parameter after the step; the moments change only if nothing fails.
pub(super) fn update(
    optimizer: &Optimizer,
    parameter: &Tensor,
    gradient: &Tensor,
    moments: &mut Moments,
    terms: &Terms,
) -> std::result::Result<Tensor, UpdateError> {
    let mut stepped = numbers(parameter, parameter)?;
    let gradient = numbers(gradient, parameter)?;
    let mut first = if optimizer.has_first() { moment(&moments.first, parameter)? } else { Vec::new() };
    let mut second = if optimizer.has_second() { moment(&moments.second, parameter)? } else { Vec::new() };
    let average = moments.average.as_ref().filter(|_| terms.average_decay > 0.0);
    let mut average = average.map_or(Ok(Vec::new()), |average| numbers(average, parameter))?;
    // All constants are worked out before the first span is stepped: one that cannot be is none that was half done.
    let constants = |span: Span| optimizer.constants(terms, span.birth).map(|constants| (span, constants));
    let spans = moments.spans(parameter.dims())?.into_iter().map(constants);
    let spans: Vec<(Span, Constants)> = spans.collect::<std::result::Result<_, Unsteppable>>()?;
    for (span, constants) in spans {
        let range = span.start..span.end;
        constants.step(Run {
            parameter: &mut stepped[range.clone()],
            gradient: &gradient[range.clone()],
            first: part(&mut first, &range),
            second: part(&mut second, &range),
            average: part(&mut average, &range),
        });
    }
    let kept = |numbers: Vec<f32>| (!numbers.is_empty()).then(|| like(parameter, numbers)).transpose();
    let (first, second, average) = (kept(first)?, kept(second)?, kept(average)?);
    let stepped = like(parameter, stepped)?;
    moments.first = first.or(moments.first.take());
    moments.second = second.or(moments.second.take());
    moments.average = average.or(moments.average.take());
    Ok(stepped)
}

/// The part of a slice that belongs to a span; none of an empty one.
fn part<'a>(numbers: &'a mut [f32], range: &Range<usize>) -> &'a mut [f32] {
    if numbers.is_empty() { numbers } else { &mut numbers[range.clone()] }
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
