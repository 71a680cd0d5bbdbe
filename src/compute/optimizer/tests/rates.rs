//! Warm-up by birth and decoupled weight decay, against plain scalar arithmetic in f64.

use super::*;

const OPTIMIZERS: [Optimizer; 3] = [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP];
const WARMUP: Warmup = Warmup { factor: 0.1, steps: 40 };

/// A parameter in the middle of its life: random values, gradients and moments that do not vanish.
struct Life {
    optimizer: Optimizer,
    parameter: Tensor,
    moments: Moments,
    step: u64,
}

impl Life {
    /// `[rows, columns]`, with these births of its rows and columns, after `step` steps.
    fn new(optimizer: Optimizer, rows: &[u64], columns: &[u64], step: u64) -> Self {
        let (dims, count) = ([rows.len(), columns.len()], rows.len() * columns.len());
        let parameter = tensor(&draws(count, 0), &dims);
        let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 0).unwrap();
        moments.first = moments.first.map(|_| tensor(&draws(count, 1_000), &dims));
        let squares: Vec<f32> = draws(count, 2_000).iter().map(|draw| 0.1 + draw * draw).collect();
        moments.second = moments.second.map(|_| tensor(&squares, &dims));
        moments.out_births.as_mut().unwrap().steps = rows.to_vec();
        moments.in_births.as_mut().unwrap().steps = columns.to_vec();
        Self { optimizer, parameter, moments, step }
    }

    fn step(&mut self, gradient: &[f32], rate: &Rate) {
        self.step += 1;
        let gradient = tensor(gradient, self.parameter.dims());
        let stepped = self.optimizer.update(&self.parameter, &gradient, &mut self.moments, self.step, rate);
        self.parameter = stepped.unwrap();
    }

    fn values(&self) -> Vec<f32> {
        values(&self.parameter)
    }

    /// The elements as scalars of the published rules.
    fn scalars(&self) -> Vec<Scalar> {
        let read = |moment: &Option<Tensor>| moment.as_ref().map_or(vec![0.0; self.values().len()], values);
        let columns = &self.moments.in_births.as_ref().unwrap().steps;
        let births = self
            .moments
            .out_births
            .as_ref()
            .unwrap()
            .steps
            .iter()
            .flat_map(|&row| columns.iter().map(move |&column| row.max(column)));
        let moments = read(&self.moments.first).into_iter().zip(read(&self.moments.second));
        let all = self.values().into_iter().zip(moments).zip(births);
        all.map(|((value, (first, second)), birth)| Scalar {
            value: value.into(),
            first: first.into(),
            second: second.into(),
            age: (self.step - birth) as i32,
        })
        .collect()
    }
}

/// The rate of the contract, written out: base × the lower of the two ramps.
fn contract(rate: &Rate, step: u64, birth: u64) -> f64 {
    let ramp = |begun: u64| {
        let done = if rate.warmup.steps == 0 { 1.0 } else { (step - begun - 1) as f64 / rate.warmup.steps as f64 };
        if done >= 1.0 { 1.0 } else { rate.warmup.factor + (1.0 - rate.warmup.factor) * done }
    };
    let everywhere = rate.restarted.map_or(1.0, ramp);
    let own = if birth == 0 { 1.0 } else { ramp(birth) };
    rate.base * everywhere.min(own)
}

proptest! {
    #[test]
    fn births_warmup_and_decay_agree_with_scalar_arithmetic(
        which in 0usize..3,
        rows in prop::collection::vec(0u64..12, 1..4),
        columns in prop::collection::vec(0u64..12, 1..5),
        restarted in prop::option::of(0u64..12),
        (factor, steps, decay) in (0.01f64..1.0, 0u64..20, 0.0f64..0.5),
    ) {
        let rate = Rate { warmup: Warmup { factor, steps }, restarted, decay, ..Rate::constant(0.1) };
        let mut life = Life::new(OPTIMIZERS[which], &rows, &columns, 12);
        let mut scalars = life.scalars();
        for _ in 0..8 {
            let gradient = draws(scalars.len(), life.step);
            life.step(&gradient, &rate);
            for (scalar, &gradient) in scalars.iter_mut().zip(&gradient) {
                let birth = life.step - 1 - scalar.age as u64;
                let pace = Pace { rate: contract(&rate, life.step, birth), decay };
                scalar.step_at(&life.optimizer, gradient.into(), pace);
            }
            for (ours, scalar) in life.values().iter().zip(&scalars) {
                let difference = (f64::from(*ours) - scalar.value).abs();
                prop_assert!(difference < 1e-5, "{:?}: {} {}", life.optimizer, ours, scalar.value);
            }
        }
    }

    #[test]
    fn the_copies_of_a_split_weight_decay_to_what_their_source_decays_to(
        which in 0usize..3,
        weight in -2.0f64..2.0,
        shares in prop::collection::vec(-0.5f64..1.5, 1..5),
        births in (0u64..9, any::<bool>()),
        decay in 0.01f64..1.0,
    ) {
        let restarted = births.1.then_some(9);
        let rate = Rate { warmup: WARMUP, restarted, decay, ..Rate::constant(0.1) };
        let last = 1.0 - shares.iter().sum::<f64>();
        let parts: Vec<f32> = shares.iter().chain([&last]).map(|share| (share * weight) as f32).collect();
        let optimizer = OPTIMIZERS[which];
        // Under decay alone: no gradient, and moments that hold none.
        let alone = |numbers: &[f32]| {
            let parameter = tensor(numbers, &[1, numbers.len()]);
            let moments = optimizer.moments(&parameter, Some(0), Some(1), births.0).unwrap();
            let mut life = Life { optimizer, parameter, moments, step: 9 };
            (0..30).for_each(|_| life.step(&vec![0.0; numbers.len()], &rate));
            life.values()
        };
        let source = f64::from(alone(&[weight as f32])[0]);
        let sum: f64 = alone(&parts).iter().map(|&part| f64::from(part)).sum();
        let left: f64 = (10..40).map(|step| 1.0 - decay * contract(&rate, step, births.0)).product();
        let size: f64 = parts.iter().map(|&part| f64::from(part).abs()).sum::<f64>().max(weight.abs());
        prop_assert!((source - left * weight).abs() <= 3e-6 * size, "{} for {}", source, left * weight);
        prop_assert!((sum - source).abs() <= 3e-6 * size, "{} for {}", sum, source);
    }
}

#[test]
fn a_zero_column_stays_zero_under_decay_alone() {
    let rate = Rate { warmup: WARMUP, decay: 1.0, ..Rate::constant(0.1) };
    for optimizer in OPTIMIZERS {
        let parameter = tensor(&[1.0, 0.0, -2.0, 0.0], &[2, 2]);
        let moments = optimizer.moments(&parameter, Some(0), Some(1), 5).unwrap();
        let mut life = Life { optimizer, parameter, moments, step: 5 };
        (0..50).for_each(|_| life.step(&[0.0; 4], &rate));
        let left = life.values();
        assert_eq!([left[1], left[3]], [0.0; 2]);
        assert!(left[0] > 0.0 && left[0] < 0.5 && left[2] == -2.0 * left[0], "{left:?}");
    }
}

#[test]
fn decay_takes_its_share_of_the_element_and_enters_no_moment() {
    for optimizer in OPTIMIZERS {
        let mut plain = Life::new(optimizer, &[0, 0], &[0, 0, 0], 50);
        let mut decayed = Life::new(optimizer, &[0, 0], &[0, 0, 0], 50);
        let before = plain.values();
        plain.step(&draws(6, 3), &Rate::constant(0.1));
        decayed.step(&draws(6, 3), &Rate { decay: 0.2, ..Rate::constant(0.1) });
        for (at, start) in before.iter().enumerate() {
            let taken = plain.values()[at] - decayed.values()[at];
            assert!((taken - 0.02 * start).abs() < 1e-6, "{optimizer:?}: {taken} of {start}");
        }
        let bits = |moment: &Option<Tensor>| moment.as_ref().map(values);
        assert_eq!(bits(&plain.moments.first), bits(&decayed.moments.first));
        assert_eq!(bits(&plain.moments.second), bits(&decayed.moments.second));
    }
}

#[test]
fn old_elements_beside_newborn_ones_step_as_they_would_alone() {
    let rate = Rate { warmup: WARMUP, restarted: Some(60), decay: 0.1, ..Rate::constant(0.1) };
    for optimizer in OPTIMIZERS {
        let mut alone = Life::new(optimizer, &[0, 7], &[0, 3], 100);
        let mut beside = Life::new(optimizer, &[0, 7, 100], &[0, 3, 100, 100], 100);
        let old = |all: &[f32]| [all[0], all[1], all[4], all[5]];
        // The old elements stand in rows of four now.
        let widened = |small: &Tensor, wide: &Tensor| {
            let (small, mut wide) = (values(small), values(wide));
            [0, 1, 4, 5].iter().zip(small).for_each(|(&at, number)| wide[at] = number);
            tensor(&wide, &[3, 4])
        };
        beside.parameter = widened(&alone.parameter, &beside.parameter);
        let both = |small: &Option<Tensor>, wide: &Option<Tensor>| {
            small.as_ref().zip(wide.as_ref()).map(|(small, wide)| widened(small, wide))
        };
        beside.moments.first = both(&alone.moments.first, &beside.moments.first);
        beside.moments.second = both(&alone.moments.second, &beside.moments.second);
        for _ in 0..60 {
            let gradient = draws(12, alone.step);
            alone.step(&old(&gradient), &rate);
            beside.step(&gradient, &rate);
            assert_eq!(old(&beside.values()), alone.values()[..], "{optimizer:?} after step {}", alone.step);
        }
    }
}

/// How far an element born after step 100 and one there from the start go in step 101, both with empty moments and the
/// same gradient.
fn first_steps(optimizer: Optimizer, restarted: Option<u64>, warmup: Warmup) -> (f32, f32) {
    let parameter = tensor(&[0.0; 2], &[2]);
    let mut moments = optimizer.moments(&parameter, Some(0), None, 0).unwrap();
    moments.out_births.as_mut().unwrap().steps[1] = 100;
    let rate = Rate { warmup, restarted, ..Rate::constant(0.1) };
    let after = values(&optimizer.update(&parameter, &tensor(&[0.5; 2], &[2]), &mut moments, 101, &rate).unwrap());
    (after[0], after[1])
}

#[test]
fn the_first_step_of_a_newborn_element_is_the_factor_of_a_whole_one() {
    for optimizer in OPTIMIZERS {
        let (old, newborn) = first_steps(optimizer, None, WARMUP);
        let (unwarmed_old, whole) = first_steps(optimizer, None, Warmup::NONE);
        assert_eq!(old, unwarmed_old, "{optimizer:?}");
        assert!(whole < -0.01 && (newborn / whole - 0.1).abs() < 1e-6, "{optimizer:?}: {newborn} of {whole}");
    }
}

#[test]
fn nothing_compounds_when_a_growth_warms_up_everything() {
    for optimizer in OPTIMIZERS {
        let (old, newborn) = first_steps(optimizer, Some(100), WARMUP);
        let (whole, _) = first_steps(optimizer, None, WARMUP);
        assert_eq!(newborn, first_steps(optimizer, None, WARMUP).1, "{optimizer:?}");
        assert!((old / whole - 0.1).abs() < 1e-6, "{optimizer:?}: {old} of {whole}");
    }
}
