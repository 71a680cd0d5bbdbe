//! The runs of a parameter's elements that were born together.
//!
//! Births are kept along two axes; the update wants them along the flat, row-major elements. Given out by
//! [`Moments::spans`].

use super::{AxisBirths, Moments};

/// Consecutive elements of one birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first element, in row-major order.
    pub start: usize,
    /// Behind the last element.
    pub end: usize,
    /// How many steps were done when they were born: that of the younger of an element's two indices.
    pub birth: u64,
}

/// The spans of a parameter of these dimensions, covering every element once, in order; neighbours differ in birth.
///
/// # Errors
/// Births that do not fit the dimensions.
pub(super) fn spans(dims: &[usize], moments: &Moments) -> candle_core::Result<Vec<Span>> {
    let mut axes: Vec<&AxisBirths> = [&moments.out_births, &moments.in_births].into_iter().flatten().collect();
    if axes.iter().any(|births| dims.get(births.axis) != Some(&births.steps.len())) {
        candle_core::bail!("the birth steps do not fit a parameter of shape {dims:?}");
    }
    axes.sort_by_key(|births| births.axis);
    let mut merged = Merged::default();
    match axes[..] {
        [] => merged.push(dims.iter().product(), 0),
        [births] => {
            let inner = dims[births.axis + 1..].iter().product();
            for _ in 0..dims[..births.axis].iter().product() {
                births.steps.iter().for_each(|&birth| merged.push(inner, birth));
            }
        }
        [first, second] => two_axes(dims, first, second, &mut merged),
        _ => unreachable!("there are two options above"),
    }
    Ok(merged.spans)
}

fn two_axes(dims: &[usize], first: &AxisBirths, second: &AxisBirths, merged: &mut Merged) {
    let inner: usize = dims[second.axis + 1..].iter().product();
    if first.axis == second.axis {
        let births = first.steps.iter().zip(&second.steps);
        for _ in 0..dims[..first.axis].iter().product() {
            births.clone().for_each(|(&one, &other)| merged.push(inner, one.max(other)));
        }
        return;
    }
    // The runs along the inner axis are found once, so that the many rows of an old parameter cost a step each.
    let mut runs = Merged::default();
    second.steps.iter().for_each(|&birth| runs.push(inner, birth));
    let between: usize = dims[first.axis + 1..second.axis].iter().product();
    for _ in 0..dims[..first.axis].iter().product() {
        for &birth in &first.steps {
            for _ in 0..between {
                runs.spans.iter().for_each(|run| merged.push(run.end - run.start, run.birth.max(birth)));
            }
        }
    }
}

#[derive(Default)]
struct Merged {
    spans: Vec<Span>,
}

impl Merged {
    fn push(&mut self, length: usize, birth: u64) {
        match self.spans.last_mut() {
            Some(last) if last.birth == birth => last.end += length,
            last => {
                let start = last.map_or(0, |last| last.end);
                self.spans.push(Span { start, end: start + length, birth });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(out: Option<(usize, Vec<u64>)>, inputs: Option<(usize, Vec<u64>)>) -> Moments {
        let births = |(axis, steps)| AxisBirths { axis, steps };
        Moments { first: None, second: None, average: None, out_births: out.map(births), in_births: inputs.map(births) }
    }

    #[test]
    fn equal_births_make_one_span() {
        let even = moments(Some((0, vec![3; 4])), Some((1, vec![3; 5])));
        assert_eq!(spans(&[4, 5, 2], &even).unwrap(), [Span { start: 0, end: 40, birth: 3 }]);
        assert_eq!(spans(&[6], &moments(None, None)).unwrap(), [Span { start: 0, end: 6, birth: 0 }]);
    }

    #[test]
    fn births_that_do_not_fit_are_refused() {
        assert!(spans(&[4, 5], &moments(Some((0, vec![0; 5])), None)).is_err());
        assert!(spans(&[4, 5], &moments(None, Some((2, vec![0; 5])))).is_err());
    }

    proptest! {
        #[test]
        fn every_element_has_the_birth_of_its_younger_index(
            dims in proptest::collection::vec(1usize..4, 1..5),
            axes in (0usize..4, 0usize..4),
            births in proptest::collection::vec(0u64..3, 6),
            kept in (any::<bool>(), any::<bool>()),
        ) {
            let axis = |wanted: usize, births: &[u64]| {
                let axis = wanted % dims.len();
                (axis, births[..dims[axis]].to_vec())
            };
            let out = kept.0.then(|| axis(axes.0, &births[..3]));
            let inputs = kept.1.then(|| axis(axes.1, &births[3..]));
            let all = spans(&dims, &moments(out.clone(), inputs.clone())).unwrap();
            let found: Vec<u64> = all.iter().flat_map(|span| vec![span.birth; span.end - span.start]).collect();
            let index = |element: usize, axis: usize| element / dims[axis + 1..].iter().product::<usize>() % dims[axis];
            let birth = |side: &Option<(usize, Vec<u64>)>, element| {
                side.as_ref().map_or(0, |(axis, steps)| steps[index(element, *axis)])
            };
            let count: usize = dims.iter().product();
            let expected: Vec<u64> = (0..count).map(|at| birth(&out, at).max(birth(&inputs, at))).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(all.windows(2).all(|two| two[0].end == two[1].start && two[0].birth != two[1].birth));
        }
    }
}
