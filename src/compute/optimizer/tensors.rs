//! One step of one parameter with tensor operations, for devices whose memory is not ours to loop over.
//!
//! The same step as [`super::Constants::step`] but for rounding: nothing comes to the host, and where births differ the
//! elements' constants are made on the device from one short row an axis. Called by [`Optimizer::step`] for everything that
//! is not on the CPU.

use candle_core::{Device, Result, Tensor};

use super::fused::{Decays, Terms, correction};
use super::rate::age;
use super::{AxisBirths, Moments, Optimizer, Unsteppable, UpdateError};

/// The parameter after the step, given it and its gradient; the moments change only if nothing fails.
pub(super) fn update(
    optimizer: &Optimizer,
    (parameter, gradient): (&Tensor, &Tensor),
    moments: &mut Moments,
    terms: &Terms,
) -> std::result::Result<Tensor, UpdateError> {
    check(gradient, parameter)?;
    let paces = Paces::of(optimizer, terms, moments, parameter)?;
    let gradient = &Factor::Same(terms.clip.into()).scale(gradient)?;
    let (direction, first, second) = match *optimizer {
        Optimizer::Sgd { momentum } => {
            let velocity = (moment(&moments.first, parameter)?.affine(momentum, 0.0)? + gradient)?;
            (velocity.clone(), Some(velocity), None)
        }
        Optimizer::RmsProp { decay, epsilon } => {
            let square = mean(moment(&moments.second, parameter)?, &gradient.sqr()?, decay)?;
            (gradient.div(&paces.root.denominator(&square, epsilon)?)?, None, Some(square))
        }
        Optimizer::Adam { beta1, beta2, epsilon } => {
            let first = mean(moment(&moments.first, parameter)?, gradient, beta1)?;
            let second = mean(moment(&moments.second, parameter)?, &gradient.sqr()?, beta2)?;
            let direction = paces.first.scale(&first)?.div(&paces.root.denominator(&second, epsilon)?)?;
            (direction, Some(first), Some(second))
        }
    };
    let direction = match terms.decays {
        Decays::Yes if terms.rate.decay != 0.0 => (direction + parameter.affine(terms.rate.decay, 0.0)?)?,
        _ => direction,
    };
    let stepped = bounded(&(parameter - paces.rate.scale(&direction)?)?)?;
    let average = match &moments.average {
        Some(average) if terms.average_decay > 0.0 => {
            check(average, parameter)?;
            Some(bounded(&(average + paces.follow.scale(&(&stepped - average)?)?)?)?)
        }
        kept => kept.clone(),
    };
    (moments.first, moments.second, moments.average) = (first, second, average);
    Ok(stepped)
}

/// A mean that forgets: `keep` of what it was and the rest of what comes.
fn mean(before: &Tensor, comes: &Tensor, keep: f64) -> Result<Tensor> {
    before.affine(keep, 0.0)? + comes.affine(1.0 - keep, 0.0)?
}

/// The largest finite numbers instead of infinite ones.
fn bounded(tensor: &Tensor) -> Result<Tensor> {
    tensor.clamp(-f32::MAX, f32::MAX)
}

fn moment<'a>(moment: &'a Option<Tensor>, parameter: &Tensor) -> Result<&'a Tensor> {
    match moment {
        Some(moment) => check(moment, parameter).map(|()| moment),
        None => candle_core::bail!("the moments are those of another optimizer"),
    }
}

fn check(tensor: &Tensor, parameter: &Tensor) -> Result<()> {
    if tensor.dims() != parameter.dims() {
        candle_core::bail!("shape {:?} for a parameter of shape {:?}", tensor.dims(), parameter.dims());
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
    /// The share of its distance from the element that the average goes, likewise.
    follow: f32,
}

impl Pace {
    /// # Errors
    /// Whatever [`Optimizer::constants`] refuses.
    fn of(optimizer: &Optimizer, terms: &Terms, birth: u64) -> std::result::Result<Self, Unsteppable> {
        optimizer.constants(terms, birth)?;
        let age = age(terms.number, birth);
        let (first, second) = match *optimizer {
            Optimizer::Sgd { .. } => (1.0, 1.0),
            Optimizer::RmsProp { decay, .. } => (1.0, correction(decay, age)),
            Optimizer::Adam { beta1, beta2, .. } => (correction(beta1, age), correction(beta2, age)),
        };
        Ok(Self {
            rate: terms.rate.at(terms.number, birth) as f32,
            first: first as f32,
            root: second.sqrt() as f32,
            follow: terms.follow(birth) as f32,
        })
    }
}

/// The paces of all elements.
struct Paces {
    rate: Factor,
    first: Factor,
    root: Factor,
    follow: Factor,
}

/// One number for every element, or a number each, of the parameter's shape or one that broadcasts to it.
enum Factor {
    Same(f64),
    Each(Tensor),
}

impl Paces {
    fn of(
        optimizer: &Optimizer,
        terms: &Terms,
        moments: &Moments,
        parameter: &Tensor,
    ) -> std::result::Result<Self, UpdateError> {
        let dims = parameter.dims();
        let axes: Vec<&AxisBirths> = [&moments.out_births, &moments.in_births].into_iter().flatten().collect();
        if axes.iter().any(|births| dims.get(births.axis) != Some(&births.steps.len())) {
            return Err(
                candle_core::Error::msg(format!("the birth steps do not fit a parameter of shape {dims:?}")).into()
            );
        }
        // An element was born with the younger of its two indices, so none is older than every axis's oldest.
        let oldest = axes.iter().filter_map(|births| births.steps.iter().min()).max().copied().unwrap_or(0);
        let youngest = axes.iter().filter_map(|births| births.steps.iter().max()).max().copied().unwrap_or(0);
        let (old, young) = (Pace::of(optimizer, terms, oldest)?, Pace::of(optimizer, terms, youngest)?);
        let mut rows: Vec<(usize, Vec<Pace>)> = Vec::new();
        if old != young {
            for births in axes {
                // Indices older than that make no element older.
                let paces = births.steps.iter().map(|&birth| Pace::of(optimizer, terms, birth.max(oldest)));
                rows.push((births.axis, paces.collect::<std::result::Result<_, Unsteppable>>()?));
            }
        }
        let each = |value: fn(&Pace) -> f32, younger: fn(&Tensor, &Tensor) -> Result<Tensor>| -> Result<Factor> {
            // All of them are monotone in the birth: what the ends share, everything between them shares.
            if value(&old) == value(&young) {
                return Ok(Factor::Same(value(&old).into()));
            }
            let along = |(axis, paces): &(usize, Vec<Pace>)| {
                along(*axis, paces.iter().map(value).collect(), dims.len(), parameter.device())
            };
            let mut rows = rows.iter().map(along);
            let one = rows.next().expect("births differ, so there is an axis with births")?;
            Ok(Factor::Each(match rows.next() {
                Some(other) => younger(&one, &other?)?,
                None => one,
            }))
        };
        Ok(Self {
            rate: each(|pace| pace.rate, Tensor::broadcast_minimum)?,
            first: each(|pace| pace.first, Tensor::broadcast_maximum)?,
            root: each(|pace| pace.root, Tensor::broadcast_maximum)?,
            follow: each(|pace| pace.follow, Tensor::broadcast_maximum)?,
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

    use super::super::{Rate, Scheduled, Warmup, update as slices};
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
            (decay, decays) in prop::sample::select(vec![(0.0, Decays::Yes), (0.1, Decays::Yes), (0.1, Decays::No)]),
            restarted in prop::option::of(0u64..50),
            (clip, average_decay) in prop::sample::select(vec![(1.0, 0.0), (0.5, 0.99)]),
        ) {
            let optimizer = [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP][which];
            let births = if uniform { (vec![7; 3], vec![7; 4]) } else { births };
            let warmup = Warmup { factor: 0.1, steps: 20 };
            let rate = Rate { base: 0.01, warmup, restarted, decay, schedule: Scheduled::CONSTANT };
            let (mut ours, mut our_moments) = start(&optimizer, births);
            our_moments.average = Some(ours.clone());
            let (mut theirs, mut their_moments) = (ours.clone(), our_moments.clone());
            for number in 51..=60 {
                let gradient = &normals(ours.dims(), number, "gradient");
                let terms = Terms { clip, average_decay, decays, ..Terms::plain(number, rate) };
                ours = update(&optimizer, (&ours, gradient), &mut our_moments, &terms).unwrap();
                theirs = slices::update(&optimizer, &theirs, gradient, &mut their_moments, &terms).unwrap();
                prop_assert!(agree(&ours, &theirs), "{:?} {:?}", values(&ours), values(&theirs));
            }
            let of = |moments: Moments| [moments.first, moments.second, moments.average];
            for (ours, theirs) in of(our_moments).into_iter().zip(of(their_moments)) {
                prop_assert_eq!(ours.is_some(), theirs.is_some());
                prop_assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| agree(ours, theirs)));
            }
        }
    }

    #[test]
    fn a_parameter_without_axes_of_births_steps_too() {
        let parameter = normals(&[4], 0, "parameter");
        let mut moments = Optimizer::SGD.moments(&parameter, None, None, 0).unwrap();
        moments.out_births = None;
        let gradient = normals(&[4], 1, "gradient");
        let terms = Terms::plain(1, Rate::constant(0.1));
        let updated = update(&Optimizer::SGD, (&parameter, &gradient), &mut moments, &terms).unwrap();
        let expected = (&parameter - gradient.affine(0.1, 0.0).unwrap()).unwrap();
        assert!(agree(&updated, &expected));
    }

    #[test]
    fn what_would_become_infinite_stays_at_the_largest_number() {
        let parameter = Tensor::new(&[f32::MAX, -f32::MAX], &Device::Cpu).unwrap();
        let gradient = Tensor::new(&[-1e18f32, 1e18], &Device::Cpu).unwrap();
        let mut moments = Optimizer::SGD.moments(&parameter, Some(0), None, 0).unwrap();
        let terms = Terms::plain(1, Rate::constant(1e30));
        let updated = update(&Optimizer::SGD, (&parameter, &gradient), &mut moments, &terms).unwrap();
        assert_eq!(values(&updated), [f32::MAX, -f32::MAX]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_changes() {
        let (parameter, mut moments) = start(&Optimizer::ADAM, (vec![0; 3], vec![0; 4]));
        let before = values(moments.first.as_ref().unwrap());
        let refused = |gradient: &Tensor, moments: &mut Moments, rate: f64| {
            update(&Optimizer::ADAM, (&parameter, gradient), moments, &Terms::plain(1, Rate::constant(rate))).is_err()
        };
        let gradient = normals(&[3, 4, 2], 1, "gradient");
        assert!(refused(&normals(&[4, 3, 2], 1, "gradient"), &mut moments, 0.1));
        assert!(refused(&gradient, &mut moments, 1e300));
        let mut of_sgd = Optimizer::SGD.moments(&parameter, Some(0), Some(1), 0).unwrap();
        assert!(refused(&gradient, &mut of_sgd, 0.1));
        assert_eq!(values(moments.first.as_ref().unwrap()), before);
        moments.in_births.as_mut().unwrap().steps.pop();
        assert!(refused(&gradient, &mut moments, 0.1));
        assert_eq!(values(moments.first.as_ref().unwrap()), before);
    }
}
