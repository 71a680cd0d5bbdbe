//! One step of one parameter with tensor operations, for devices whose memory is not ours to loop over.
//!
//! The same update as [`super::update`] but for rounding: nothing comes to the host, and where births differ the elements'
//! constants are made on the device from one short row an axis. Called by [`Optimizer::update`](super::Optimizer::update)
//! for everything that is not on the CPU.

use candle_core::{Device, Result, Tensor};

use super::rate::age;
use super::update::correction;
use super::{AxisBirths, Moments, Optimizer, Rate};

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
    check(&step, step.gradient)?;
    let gradient = step.gradient;
    let paces = Paces::of(optimizer, &step, moments)?;
    let (direction, first, second) = match *optimizer {
        Optimizer::Sgd { momentum } => {
            let velocity = (moment(&moments.first, &step)?.affine(momentum, 0.0)? + gradient)?;
            (velocity.clone(), Some(velocity), None)
        }
        Optimizer::RmsProp { decay, epsilon } => {
            let square = mean(moment(&moments.second, &step)?, &gradient.sqr()?, decay)?;
            (gradient.div(&paces.root.denominator(&square, epsilon)?)?, None, Some(square))
        }
        Optimizer::Adam { beta1, beta2, epsilon } => {
            let first = mean(moment(&moments.first, &step)?, gradient, beta1)?;
            let second = mean(moment(&moments.second, &step)?, &gradient.sqr()?, beta2)?;
            let direction = paces.first.scale(&first)?.div(&paces.root.denominator(&second, epsilon)?)?;
            (direction, Some(first), Some(second))
        }
    };
    let direction = match step.rate.decay {
        0.0 => direction,
        decay => (direction + step.parameter.affine(decay, 0.0)?)?,
    };
    let parameter = (step.parameter - paces.rate.scale(&direction)?)?;
    (moments.first, moments.second) = (first, second);
    Ok(parameter)
}

/// A mean that forgets: `keep` of what it was and the rest of what comes.
fn mean(before: &Tensor, comes: &Tensor, keep: f64) -> Result<Tensor> {
    before.affine(keep, 0.0)? + comes.affine(1.0 - keep, 0.0)?
}

fn moment<'a>(moment: &'a Option<Tensor>, step: &Step<'_>) -> Result<&'a Tensor> {
    match moment {
        Some(moment) => check(step, moment).map(|()| moment),
        None => candle_core::bail!("the moments are those of another optimizer"),
    }
}

fn check(step: &Step<'_>, tensor: &Tensor) -> Result<()> {
    if tensor.dims() != step.parameter.dims() {
        candle_core::bail!("shape {:?} for a parameter of shape {:?}", tensor.dims(), step.parameter.dims());
    }
    Ok(())
}

/// What an element is stepped with, by its birth.
#[derive(Clone, Copy, PartialEq)]
struct Pace {
    /// The learning rate. Of two births the later one has the lower.
    rate: f32,
    /// The first moment's bias correction; 1 where there is none. Of two births the later one has the higher.
    first: f32,
    /// The square root of the second moment's, likewise.
    root: f32,
}

impl Pace {
    fn of(optimizer: &Optimizer, step: &Step<'_>, birth: u64) -> Self {
        let age = age(step.number, birth);
        let (first, second) = match *optimizer {
            Optimizer::Sgd { .. } => (1.0, 1.0),
            Optimizer::RmsProp { decay, .. } => (1.0, correction(decay, age)),
            Optimizer::Adam { beta1, beta2, .. } => (correction(beta1, age), correction(beta2, age)),
        };
        Self { rate: step.rate.at(step.number, birth) as f32, first: first as f32, root: second.sqrt() as f32 }
    }
}

/// The paces of all elements.
struct Paces {
    rate: Factor,
    first: Factor,
    root: Factor,
}

/// One number for every element, or a number each, of the parameter's shape or one that broadcasts to it.
enum Factor {
    Same(f64),
    Each(Tensor),
}

impl Paces {
    fn of(optimizer: &Optimizer, step: &Step<'_>, moments: &Moments) -> Result<Self> {
        let dims = step.parameter.dims();
        let axes: Vec<&AxisBirths> = [&moments.out_births, &moments.in_births].into_iter().flatten().collect();
        if axes.iter().any(|births| dims.get(births.axis) != Some(&births.steps.len())) {
            candle_core::bail!("the birth steps do not fit a parameter of shape {dims:?}");
        }
        // An element was born with the younger of its two indices, so no element is older than every axis's oldest.
        let oldest = axes.iter().filter_map(|births| births.steps.iter().min()).max().copied().unwrap_or(0);
        let youngest = axes.iter().filter_map(|births| births.steps.iter().max()).max().copied().unwrap_or(0);
        let (old, young) = (Pace::of(optimizer, step, oldest), Pace::of(optimizer, step, youngest));
        let each = |value: fn(Pace) -> f32, younger: fn(&Tensor, &Tensor) -> Result<Tensor>| -> Result<Factor> {
            // All three are monotone in the birth: what the ends share, everything between them shares.
            if value(old) == value(young) {
                return Ok(Factor::Same(value(old).into()));
            }
            let rows = axes.iter().map(|births| {
                let row = births.steps.iter().map(|&birth| value(Pace::of(optimizer, step, birth))).collect();
                along(births.axis, row, dims.len(), step.parameter.device())
            });
            let mut rows = rows.collect::<Result<Vec<Tensor>>>()?.into_iter();
            let one = rows.next().expect("births differ, so there is an axis with births");
            Ok(Factor::Each(match rows.next() {
                Some(other) => younger(&one, &other)?,
                None => one,
            }))
        };
        Ok(Self {
            rate: each(|pace| pace.rate, |one, other| one.broadcast_minimum(other))?,
            first: each(|pace| pace.first, |one, other| one.broadcast_maximum(other))?,
            root: each(|pace| pace.root, |one, other| one.broadcast_maximum(other))?,
        })
    }
}

/// A row of numbers along one axis of `rank`.
fn along(axis: usize, row: Vec<f32>, rank: usize, device: &Device) -> Result<Tensor> {
    let mut dims = vec![1; rank];
    dims[axis] = row.len();
    Tensor::from_vec(row, dims, device)
}

impl Factor {
    fn scale(&self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Self::Same(1.0) => Ok(tensor.clone()),
            Self::Same(factor) => tensor.affine(*factor, 0.0),
            Self::Each(factors) => tensor.broadcast_mul(factors),
        }
    }

    /// The root of a mean of squares, without its bias, and a little more than 0.
    fn denominator(&self, square: &Tensor, epsilon: f64) -> Result<Tensor> {
        match self {
            Self::Same(factor) => square.sqrt()?.affine(*factor, epsilon),
            Self::Each(factors) => square.sqrt()?.broadcast_mul(factors)?.affine(1.0, epsilon),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Warmup, update as slices};
    use super::*;
    use crate::compute::random::{Purpose, Random};

    fn normals(dims: &[usize], step: u64, what: &str) -> Tensor {
        let mut random = Random::keyed(5, Purpose::Probe, step, what);
        let values: Vec<f32> = (0..dims.iter().product::<usize>()).map(|_| random.normal() as f32).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn agree(ours: &Tensor, theirs: &Tensor) -> bool {
        values(ours).iter().zip(values(theirs)).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
    }

    /// A parameter of 3 x 4 x 2 with moments as of many steps; births along the axes 0 and 1.
    fn start(optimizer: &Optimizer, births: (Vec<u64>, Vec<u64>)) -> (Tensor, Moments) {
        let dims = [3, 4, 2];
        let parameter = normals(&dims, 0, "parameter");
        let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 0).unwrap();
        moments.first = moments.first.map(|_| normals(&dims, 0, "first"));
        moments.second = moments.second.map(|_| normals(&dims, 0, "second").sqr().unwrap());
        moments.out_births.as_mut().unwrap().steps = births.0;
        moments.in_births.as_mut().unwrap().steps = births.1;
        (parameter, moments)
    }

    proptest! {
        #[test]
        fn tensors_and_slices_take_the_same_steps(
            which in 0usize..3,
            births in (prop::collection::vec(0u64..50, 3), prop::collection::vec(0u64..50, 4)),
            uniform: bool,
            decay in prop::sample::select(vec![0.0, 0.1]),
            restarted in prop::option::of(0u64..50),
        ) {
            let optimizer = [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP][which];
            let births = if uniform { (vec![7; 3], vec![7; 4]) } else { births };
            let rate = Rate { base: 0.01, warmup: Warmup { factor: 0.1, steps: 20 }, restarted, decay };
            let (mut ours, mut our_moments) = start(&optimizer, births);
            let (mut theirs, mut their_moments) = (ours.clone(), our_moments.clone());
            for number in 51..=60 {
                let gradient = &normals(ours.dims(), number, "gradient");
                let step = Step { parameter: &ours, gradient, number, rate: &rate };
                let updated = update(&optimizer, step, &mut our_moments).unwrap();
                let step = slices::Step { parameter: &theirs, gradient, number, rate: &rate };
                theirs = slices::update(&optimizer, step, &mut their_moments).unwrap();
                ours = updated;
                prop_assert!(agree(&ours, &theirs), "{:?} {:?}", values(&ours), values(&theirs));
            }
            let pairs = [(&our_moments.first, &their_moments.first), (&our_moments.second, &their_moments.second)];
            for (ours, theirs) in pairs {
                prop_assert_eq!(ours.is_some(), theirs.is_some());
                prop_assert!(ours.iter().zip(theirs).all(|(ours, theirs)| agree(ours, theirs)));
            }
        }
    }

    #[test]
    fn a_parameter_without_axes_of_births_steps_too() {
        let rate = Rate::constant(0.1);
        let parameter = normals(&[4], 0, "parameter");
        let mut moments = Optimizer::SGD.moments(&parameter, None, None, 0).unwrap();
        moments.out_births = None;
        let gradient = &normals(&[4], 1, "gradient");
        let step = Step { parameter: &parameter, gradient, number: 1, rate: &rate };
        let updated = update(&Optimizer::SGD, step, &mut moments).unwrap();
        let expected = (&parameter - gradient.affine(0.1, 0.0).unwrap()).unwrap();
        assert!(agree(&updated, &expected));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_changes() {
        let rate = Rate::constant(0.1);
        let (parameter, mut moments) = start(&Optimizer::ADAM, (vec![0; 3], vec![0; 4]));
        let before = values(moments.first.as_ref().unwrap());
        let refused = |optimizer: &Optimizer, gradient: &Tensor, moments: &mut Moments| {
            update(optimizer, Step { parameter: &parameter, gradient, number: 1, rate: &rate }, moments).is_err()
        };
        let gradient = normals(&[3, 4, 2], 1, "gradient");
        assert!(refused(&Optimizer::ADAM, &normals(&[4, 3, 2], 1, "gradient"), &mut moments));
        let mut of_sgd = Optimizer::SGD.moments(&parameter, Some(0), Some(1), 0).unwrap();
        assert!(refused(&Optimizer::ADAM, &gradient, &mut of_sgd));
        assert_eq!(values(moments.first.as_ref().unwrap()), before);
        moments.in_births.as_mut().unwrap().steps.pop();
        assert!(refused(&Optimizer::ADAM, &gradient, &mut moments));
        assert_eq!(values(moments.first.as_ref().unwrap()), before);
    }
}
