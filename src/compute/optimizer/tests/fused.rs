//! The fused step over plain numbers: against slow loops in f64 and f32, at any cut, and where numbers end.

use proptest::prelude::*;

use super::*;

const OPTIMIZERS: [Optimizer; 3] = [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP];

/// The numbers of a parameter in the middle of its life.
#[derive(Debug, Clone, PartialEq)]
struct Numbers {
    parameter: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
}

impl Numbers {
    fn new(optimizer: &Optimizer, count: usize) -> Self {
        let some = |wanted: bool, values: Vec<f32>| if wanted { values } else { Vec::new() };
        let squares = draws(count, 2_000).iter().map(|draw| 0.1 + draw * draw).collect();
        Self {
            parameter: draws(count, 0),
            first: some(optimizer.has_first(), draws(count, 1_000)),
            second: some(optimizer.has_second(), squares),
            average: draws(count, 3_000),
        }
    }

    fn step(&mut self, gradient: &[f32], constants: &Constants) {
        self.step_part(0..gradient.len(), gradient, constants);
    }

    fn step_part(&mut self, range: std::ops::Range<usize>, gradient: &[f32], constants: &Constants) {
        constants.step(Run {
            parameter: part(&mut self.parameter, &range),
            gradient: &gradient[range.clone()],
            first: part(&mut self.first, &range),
            second: part(&mut self.second, &range),
            average: part(&mut self.average, &range),
        });
    }

    fn all(&self) -> impl Iterator<Item = f32> + '_ {
        [&self.parameter, &self.first, &self.second, &self.average].into_iter().flatten().copied()
    }
}

fn part<'a>(numbers: &'a mut [f32], range: &std::ops::Range<usize>) -> &'a mut [f32] {
    if numbers.is_empty() { numbers } else { &mut numbers[range.clone()] }
}

fn terms(number: u64, rate: Rate) -> Terms {
    Terms { average_decay: 0.9, ..Terms::plain(number, rate) }
}

proptest! {
    #[test]
    fn clipped_steps_and_averages_agree_with_a_slow_loop_in_f64(
        which in 0usize..3,
        count in 1usize..70,
        birth in 0u64..12,
        (clip, decay, keeps) in (0.01f32..1.0, 0.0f64..0.5, 0.0f64..0.999),
    ) {
        let optimizer = OPTIMIZERS[which];
        let mut numbers = Numbers::new(&optimizer, count);
        let read = |moment: &[f32], at: usize| moment.get(at).map_or(0.0, |&number| f64::from(number));
        let mut scalars: Vec<(Scalar, f64)> = (0..count).map(|at| {
            let (first, second) = (read(&numbers.first, at), read(&numbers.second, at));
            let value = numbers.parameter[at].into();
            (Scalar { value, first, second, age: (12 - birth) as i32 }, numbers.average[at].into())
        }).collect();
        for number in 13..21 {
            let gradient = draws(count, number);
            let rate = Rate { decay, ..Rate::constant(0.1) };
            let terms = Terms { clip, average_decay: keeps, ..Terms::plain(number, rate) };
            numbers.step(&gradient, &optimizer.constants(&terms, birth).unwrap());
            for ((scalar, average), &gradient) in scalars.iter_mut().zip(&gradient) {
                scalar.step_at(&optimizer, f64::from(clip) * f64::from(gradient), Pace { rate: 0.1, decay });
                let kept = keeps.min(f64::from(1 + scalar.age) / f64::from(10 + scalar.age));
                *average = kept * *average + (1.0 - kept) * scalar.value;
            }
        }
        for (at, (scalar, average)) in scalars.iter().enumerate() {
            prop_assert!((f64::from(numbers.parameter[at]) - scalar.value).abs() < 1e-5, "{:?} {}", optimizer, at);
            prop_assert!((f64::from(numbers.average[at]) - average).abs() < 1e-5, "{:?} {}", optimizer, at);
        }
    }

    #[test]
    fn the_bits_of_a_step_do_not_depend_on_where_it_is_cut(
        which in 0usize..3,
        count in 1usize..5_000,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let optimizer = OPTIMIZERS[which];
        let mut whole = Numbers::new(&optimizer, count);
        let mut cut = whole.clone();
        let mut places: Vec<usize> = cuts.iter().map(|place| place.index(count)).chain([0, count]).collect();
        places.sort_unstable();
        for number in 5..8 {
            let gradient = draws(count, number);
            let constants = optimizer.constants(&terms(number, Rate::constant(0.1)), 2).unwrap();
            whole.step(&gradient, &constants);
            places.windows(2).for_each(|ends| cut.step_part(ends[0]..ends[1], &gradient, &constants));
        }
        prop_assert!(whole.all().map(f32::to_bits).eq(cut.all().map(f32::to_bits)));
    }

    #[test]
    fn finite_numbers_stay_finite_whatever_they_are(
        which in 0usize..3,
        signs in prop::collection::vec((-1.0f32..=1.0, -1.0f32..=1.0, -1.0f32..=1.0, 0.0f32..=1.0), 1..40),
        (rate, decay, birth) in (0.0f64..3e37, 0.0f64..=1.0, 0u64..9),
        clip in 1e-30f32..=1.0,
    ) {
        let optimizer = OPTIMIZERS[which];
        let huge = |numbers: Vec<f32>, wanted: bool| if wanted { numbers } else { Vec::new() };
        let mut numbers = Numbers {
            parameter: signs.iter().map(|signs| signs.0 * f32::MAX).collect(),
            first: huge(signs.iter().map(|signs| signs.1 * LARGEST_GRADIENT).collect(), optimizer.has_first()),
            second: huge(signs.iter().map(|signs| signs.3 * 1e36).collect(), optimizer.has_second()),
            average: signs.iter().map(|signs| signs.1 * f32::MAX).collect(),
        };
        // What decay takes is bounded as the settings bound it: below the whole weight.
        let rate = Rate { decay: decay / rate.max(1.0), ..Rate::constant(rate) };
        for number in 9..12 {
            let gradient: Vec<f32> = signs.iter().map(|signs| signs.2 * LARGEST_GRADIENT).collect();
            let terms = Terms { clip, ..terms(number, rate) };
            numbers.step(&gradient, &optimizer.constants(&terms, birth).unwrap());
            prop_assert!(numbers.all().all(f32::is_finite), "{:?}", numbers);
        }
    }
}

#[test]
fn without_clipping_a_step_has_the_bits_of_the_rules_written_out() {
    let (count, rate, decay) = (1_237, 0.1f64, 0.3f64);
    for optimizer in OPTIMIZERS {
        let mut numbers = Numbers::new(&optimizer, count);
        let mut plain = numbers.clone();
        for number in 40..43u64 {
            let gradient = draws(count, number);
            let rates = Rate { decay, ..Rate::constant(rate) };
            numbers.step(&gradient, &optimizer.constants(&Terms::plain(number, rates), 30).unwrap());
            let age = number - 30;
            // Ages 10, 11 and 12 by repeated squaring: share², share⁸ and what else their bits say.
            let corrected = |share: f64| {
                let (two, eight) =
                    (share * share, ((share * share) * (share * share)) * ((share * share) * (share * share)));
                let power = [two * eight, share * two * eight, ((share * share) * (share * share)) * eight];
                1.0 / (1.0 - power[age as usize - 10])
            };
            for at in 0..count {
                let (value, gradient) = (&mut plain.parameter[at], gradient[at]);
                let taken = (rate * decay) as f32 * *value;
                match optimizer {
                    Optimizer::Sgd { momentum } => {
                        plain.first[at] = momentum as f32 * plain.first[at] + gradient;
                        *value -= taken + rate as f32 * plain.first[at];
                        assert_eq!(plain.first[at].to_bits(), numbers.first[at].to_bits());
                    }
                    Optimizer::RmsProp { decay, epsilon } => {
                        let second = &mut plain.second[at];
                        *second = decay as f32 * *second + (1.0 - decay) as f32 * gradient * gradient;
                        let root = second.sqrt() * corrected(decay).sqrt() as f32 + epsilon as f32;
                        *value -= taken + rate as f32 * gradient / root;
                        assert_eq!(second.to_bits(), numbers.second[at].to_bits());
                    }
                    Optimizer::Adam { beta1, beta2, epsilon } => {
                        let (first, second) = (&mut plain.first[at], &mut plain.second[at]);
                        *first = beta1 as f32 * *first + (1.0 - beta1) as f32 * gradient;
                        *second = beta2 as f32 * *second + (1.0 - beta2) as f32 * gradient * gradient;
                        let root = second.sqrt() * corrected(beta2).sqrt() as f32 + epsilon as f32;
                        *value -= taken + (rate * corrected(beta1)) as f32 * *first / root;
                        assert_eq!(
                            [first.to_bits(), second.to_bits()],
                            [numbers.first[at].to_bits(), numbers.second[at].to_bits()]
                        );
                    }
                }
            }
            assert!(
                plain
                    .parameter
                    .iter()
                    .map(|value| value.to_bits())
                    .eq(numbers.parameter.iter().map(|value| value.to_bits()))
            );
        }
    }
}

#[test]
fn a_parameter_that_would_be_infinite_stays_at_the_largest_number() {
    let optimizer = Optimizer::Sgd { momentum: 0.0 };
    let constants = optimizer.constants(&terms(1, Rate::constant(3e38)), 0).unwrap();
    let mut numbers = Numbers {
        parameter: vec![f32::MAX, -f32::MAX, 0.0],
        first: vec![0.0; 3],
        second: Vec::new(),
        average: vec![-f32::MAX, f32::MAX, 1.0],
    };
    numbers.step(&[-1.0, 1.0, -1e10], &constants);
    assert_eq!(numbers.parameter, [f32::MAX, -f32::MAX, f32::MAX]);
    assert_eq!(numbers.first, [-1.0, 1.0, -1e10]);
    assert!(numbers.average.iter().all(|average| average.is_finite()));
}

#[test]
fn terms_that_do_not_keep_numbers_finite_are_refused_before_anything_changes() {
    let sound = terms(1, Rate::constant(0.1));
    for (wrong, reason) in [
        (Terms { rate: Rate::constant(1e39), ..sound }, Unsteppable::Rate),
        (Terms { rate: Rate::constant(f64::NAN), ..sound }, Unsteppable::Rate),
        (Terms { rate: Rate::constant(-0.1), ..sound }, Unsteppable::Rate),
        (Terms { rate: Rate { decay: 11.0, ..sound.rate }, ..sound }, Unsteppable::Decay),
        (Terms { clip: 0.0, ..sound }, Unsteppable::Clip),
        (Terms { clip: 1.5, ..sound }, Unsteppable::Clip),
        (Terms { clip: f32::NAN, ..sound }, Unsteppable::Clip),
        (Terms { average_decay: 1.0, ..sound }, Unsteppable::Average),
    ] {
        for optimizer in OPTIMIZERS {
            assert_eq!(optimizer.constants(&wrong, 0).unwrap_err(), reason);
            let parameter = tensor(&[1.0, 2.0], &[2]);
            let mut moments = optimizer.moments(&parameter, Some(0), None, 0).unwrap();
            moments.average = Some(parameter.clone());
            assert!(optimizer.step(&parameter, &parameter, &mut moments, &wrong).is_err());
            let kept = moments.first.iter().chain(&moments.second).flat_map(values);
            assert!(kept.into_iter().all(|moment| moment == 0.0));
        }
    }
    // The largest rate that f32 holds, too large once the first moment's bias is corrected.
    let large = terms(1, Rate::constant(3e38));
    assert!(Optimizer::SGD.constants(&large, 0).is_ok() && Optimizer::ADAM.constants(&large, 0).is_err());
}

#[test]
fn a_parameter_that_is_spared_decays_nowhere() {
    let decayed = terms(7, Rate { decay: 0.5, ..Rate::constant(0.1) });
    for optimizer in OPTIMIZERS {
        let spared = optimizer.constants(&Terms { decays: Decays::No, ..decayed }, 0);
        assert_eq!(spared, optimizer.constants(&terms(7, Rate::constant(0.1)), 0));
        assert_ne!(spared, optimizer.constants(&decayed, 0));
    }
}

#[test]
fn an_average_of_what_stands_still_comes_to_rest_on_it() {
    let constants =
        |number| Optimizer::SGD.constants(&Terms { average_decay: 0.99, ..terms(number, Rate::constant(0.0)) }, 0);
    let mut numbers =
        Numbers { parameter: vec![0.3, -1e-6, 7e5], first: vec![0.0; 3], second: Vec::new(), average: vec![0.0; 3] };
    (1..4_000).for_each(|number| numbers.step(&[0.0; 3], &constants(number).unwrap()));
    for (average, parameter) in numbers.average.iter().zip(&numbers.parameter) {
        assert!((average - parameter).abs() <= 1e-5 * parameter.abs(), "{average} {parameter}");
    }
}

#[test]
fn an_average_follows_what_is_young_and_lags_behind_what_is_old() {
    let optimizer = Optimizer::Sgd { momentum: 0.0 };
    let parameter = tensor(&[0.0; 2], &[2]);
    let mut moments = optimizer.moments(&parameter, Some(0), None, 0).unwrap();
    moments.out_births.as_mut().unwrap().steps[1] = 50_000;
    moments.average = Some(parameter.clone());
    let terms = Terms { average_decay: 0.999, ..Terms::plain(50_001, Rate::constant(1.0)) };
    let stepped = optimizer.step(&parameter, &tensor(&[-1.0; 2], &[2]), &mut moments, &terms).unwrap();
    assert_eq!(values(&stepped), [1.0; 2]);
    let average = values(moments.average.as_ref().unwrap());
    assert!((average[0] - 0.001).abs() < 1e-6 && (average[1] - 9.0 / 11.0).abs() < 1e-6, "{average:?}");
}

#[test]
fn an_average_changes_no_other_number() {
    for optimizer in OPTIMIZERS {
        let parameter = tensor(&draws(6, 0), &[2, 3]);
        let gradient = tensor(&draws(6, 1), &[2, 3]);
        let run = |average: Option<Tensor>, average_decay: f64| {
            let mut moments = optimizer.moments(&parameter, Some(0), Some(1), 0).unwrap();
            moments.average = average;
            let terms = Terms { average_decay, ..Terms::plain(1, Rate::constant(RATE)) };
            let stepped = optimizer.step(&parameter, &gradient, &mut moments, &terms).unwrap();
            (values(&stepped), moments)
        };
        let (with, kept) = run(Some(parameter.clone()), 0.9);
        let (without, none) = run(None, 0.9);
        assert_eq!(with, without);
        assert_eq!(kept.first.as_ref().map(values), none.first.as_ref().map(values));
        assert_eq!(kept.second.as_ref().map(values), none.second.as_ref().map(values));
        assert!(none.average.is_none());
        assert_ne!(values(kept.average.as_ref().unwrap()), values(&parameter));
        let (_, resting) = run(Some(parameter.clone()), 0.0);
        assert_eq!(values(resting.average.as_ref().unwrap()), values(&parameter), "nothing says what it keeps");
    }
}

#[test]
#[should_panic(expected = "first moments as the optimizer has them")]
fn moments_of_another_optimizer_are_no_run_of_this_one() {
    let constants = Optimizer::ADAM.constants(&terms(1, Rate::constant(0.1)), 0).unwrap();
    Numbers::new(&Optimizer::RMSPROP, 3).step(&[0.0; 3], &constants);
}
