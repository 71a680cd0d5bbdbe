//! Moments and births of a grown parameter (DESIGN §5, "Training state grows too").
//!
//! A consumer's gradient does not change when its inputs are copied: its moments are gathered as they are. A producer's
//! gradient is shared by the copies: first moments scale by the share and second ones by its square. What copies nothing
//! begins with empty moments and is born now. Used by `apply` alone.

use candle_core::Tensor;

use crate::compute::finite::lend;
use crate::compute::optimizer::{AxisBirths, Moments};

use super::mapping::ParameterMaps;
use super::regrow::{Change, regrow};

/// By what the moments of a producer's new rows are scaled: the share of its source's gradient that each new row gets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

/// The moments of a grown parameter: gathered; scaled along its out axis where `shares` are given; new rows and columns
/// empty and born at `now`. Its average is no moment: it grows as the parameter does, and its old one is left out.
pub(super) fn grown(
    moments: &Moments,
    maps: &ParameterMaps,
    shares: Option<&Shares>,
    now: u64,
) -> candle_core::Result<Moments> {
    if maps.is_empty() {
        return Ok(Moments { average: None, ..moments.clone() });
    }
    let grown = |tensor: &Option<Tensor>, factors: Option<&Vec<f64>>| -> candle_core::Result<Option<Tensor>> {
        let Some(tensor) = tensor else {
            return Ok(None);
        };
        let dims = maps.dims(tensor.dims());
        let change = maps.out.as_ref().zip(factors).map(|(out, factors)| Change::Scale { axis: out.axis, factors });
        let numbers = lend(tensor, |numbers| regrow(numbers, tensor.dims(), maps, change.as_ref()))?;
        Tensor::from_vec(numbers, dims, tensor.device()).map(Some)
    };
    Ok(Moments {
        first: grown(&moments.first, shares.map(|shares| &shares.first))?,
        second: grown(&moments.second, shares.map(|shares| &shares.second))?,
        average: None,
        out_births: moments.out_births.as_ref().map(|births| grown_births(births, maps, now)),
        in_births: moments.in_births.as_ref().map(|births| grown_births(births, maps, now)),
    })
}

fn grown_births(births: &AxisBirths, maps: &ParameterMaps, now: u64) -> AxisBirths {
    let Some(map) = maps.iter().find(|map| map.axis == births.axis && map.old == births.steps.len()) else {
        return births.clone();
    };
    let steps = map.sources.iter().map(|source| source.map_or(now, |index| births.steps[index])).collect();
    AxisBirths { axis: births.axis, steps }
}

#[cfg(test)]
mod tests {
    use super::super::mapping::GrownAxis;
    use super::*;

    #[test]
    fn births_follow_their_axis_and_new_indices_are_born_now() {
        let sources = [Some(0), Some(1), Some(1), None];
        let maps = ParameterMaps { out: None, input: Some(GrownAxis::by_hand(1, 2, &sources, Vec::new())) };
        let births = |axis, steps: &[u64]| AxisBirths { axis, steps: steps.to_vec() };
        assert_eq!(grown_births(&births(1, &[3, 5]), &maps, 9), births(1, &[3, 5, 5, 9]));
        assert_eq!(grown_births(&births(0, &[3, 5]), &maps, 9), births(0, &[3, 5]));
    }
}
