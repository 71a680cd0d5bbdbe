//! What the policy promises, on real networks and the course of synthetic losses.

use crate::growth::{Extent, GrowthOp, GrowthRequest, plan};
use crate::network::builders::NetworkSpec;
use crate::network::{Network, Shape};

use super::settings::DataVolume;
use super::{Decision, PolicySettings, Signals, decide, decide_now};

fn mlp(inputs: usize, hidden: &[usize]) -> Network {
    let spec = NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout: 0.0 };
    spec.build(&Shape::flat(inputs), 10).unwrap()
}

fn data_volume(change: impl FnOnce(&mut DataVolume)) -> PolicySettings {
    let mut rule = DataVolume::default();
    change(&mut rule);
    PolicySettings::DataVolume(rule)
}

/// A learner with every reason to grow.
fn ripe(network: &Network, examples: u64) -> Signals {
    Signals {
        examples,
        rows_since_growth: examples,
        examples_at_growth: 0,
        training_loss: Some(0.4),
        training_loss_before: Some(0.4),
        progressive_loss: Some(0.5),
        progressive_loss_before: Some(0.5),
        holdout_loss: Some(0.5),
        holdout_loss_before: Some(0.5),
        parameters: network.parameter_count(),
        flops: network.flops_per_row(),
        settled: false,
        gate_refusals: 0,
    }
}

fn holds(decision: &Decision, term: &str) -> Option<bool> {
    decision.reasons.iter().find(|reason| reason.term == term).map(|reason| reason.holds)
}

/// A learner's life: rounds of 64 rows, a progressive loss that falls after every growth and flattens out.
fn life(settings: &PolicySettings, mut network: Network, rows: u64) -> Vec<(GrowthOp, u64, u64, u64)> {
    let (mut growths, mut grown_at) = (Vec::new(), 0);
    for examples in (64..=rows).step_by(64) {
        let since = examples - grown_at;
        let window = (examples / 10).clamp(64, 2_000);
        // Every growth starts from where the one before ended and takes off a third more, over some hundred rows.
        let loss = |at: u64| 2.3 * 0.67f64.powi(growths.len() as i32) * (0.67 + 0.33 * (-(at as f64) / 150.0).exp());
        let mut signals = ripe(&network, examples);
        signals.rows_since_growth = since;
        signals.examples_at_growth = grown_at;
        signals.progressive_loss = (since >= window).then(|| loss(since));
        signals.progressive_loss_before = (since >= 2 * window).then(|| loss(since - window));
        signals.training_loss = Some(0.6 * loss(since));
        signals.holdout_loss = Some(loss(since));
        if let Some(request) = decide(settings, &signals, &network).grow {
            let plan = plan(&network, &request, 1).unwrap();
            growths.push((plan.op, examples, plan.parameters_before, plan.parameters_after));
            (network, grown_at) = (plan.student().clone(), examples);
        }
    }
    growths
}

fn bound(rule: &DataVolume, examples: u64) -> u64 {
    (rule.parameters_per_example * (examples as f64).powf(rule.exponent)) as u64
}

#[test]
fn the_digits_stream_grows_a_small_network_wider_and_deeper() {
    let growths = life(&PolicySettings::default(), mlp(64, &[8]), 1_365);
    let count = |op| growths.iter().filter(|growth| growth.0 == op).count();
    assert!(count(GrowthOp::Wider) >= 2 && count(GrowthOp::Deeper) >= 1, "{growths:?}");
}

#[test]
fn the_fashion_stream_grows_at_least_three_times_with_the_same_defaults() {
    let growths = life(&PolicySettings::default(), mlp(784, &[32]), 57_000);
    assert!((3..20).contains(&growths.len()), "{growths:?}");
}

#[test]
fn no_growth_leaves_the_bound_or_more_than_doubles() {
    let rule = DataVolume::default();
    for (inputs, hidden, rows) in [(64, 8, 1_365), (784, 32, 57_000), (3, 4, 20_000)] {
        for (op, examples, before, after) in life(&PolicySettings::default(), mlp(inputs, &[hidden]), rows) {
            assert!(after <= bound(&rule, examples) && after <= rule.max_parameters);
            assert!(op == GrowthOp::Deeper || after <= 2 * before, "{before} to {after}");
        }
    }
}

#[test]
fn every_term_of_timing_alone_can_hold_a_growth_back() {
    let network = mlp(64, &[8]);
    let signals = ripe(&network, 1_000);
    let settings = PolicySettings::default();
    assert!(decide(&settings, &signals, &network).grow.is_some());
    let cases = [
        ("refractory", Signals { rows_since_growth: 99, ..signals.clone() }),
        ("refractory", Signals { rows_since_growth: 150, examples_at_growth: 2_000, ..signals.clone() }),
        ("flat", Signals { progressive_loss_before: Some(0.6), ..signals.clone() }),
        ("flat", Signals { progressive_loss: None, training_loss_before: Some(0.6), ..signals.clone() }),
        ("flat", Signals { progressive_loss: None, training_loss_before: None, ..signals.clone() }),
        ("flat", Signals { progressive_loss_before: Some(0.4), ..signals.clone() }),
        ("gate", Signals { gate_refusals: 1, ..signals.clone() }),
        ("overfitting", Signals { holdout_loss: Some(1.7), ..signals.clone() }),
        ("overfitting", Signals { holdout_loss: Some(f64::NAN), ..signals.clone() }),
    ];
    for (term, signals) in cases {
        let decision = decide(&settings, &signals, &network);
        assert_eq!(decision.grow, None, "{term}");
        let against: Vec<&str> =
            decision.reasons.iter().filter(|reason| !reason.holds).map(|reason| reason.term.as_str()).collect();
        assert_eq!(against, [term]);
    }
}

#[test]
fn every_decision_says_what_each_term_was() {
    let network = mlp(64, &[8]);
    let decision = decide(&PolicySettings::default(), &ripe(&network, 1_000), &network);
    let terms: Vec<&str> = decision.reasons.iter().map(|reason| reason.term.as_str()).collect();
    assert_eq!(terms, ["refractory", "flat", "overfitting", "gate", "bound", "budget", "size"]);
    assert!(decision.reasons.iter().all(|reason| !reason.detail.is_empty()));
}

#[test]
fn settled_passes_stand_in_for_new_rows() {
    let network = mlp(64, &[8]);
    let mut signals = ripe(&network, 1_000);
    signals.rows_since_growth = 0;
    signals.progressive_loss = None;
    assert_eq!(decide(&PolicySettings::default(), &signals, &network).grow, None);
    signals.settled = true;
    assert!(decide(&PolicySettings::default(), &signals, &network).grow.is_some());
}

#[test]
fn too_little_data_is_named_as_the_bound() {
    let network = mlp(784, &[32]);
    let decision = decide(&PolicySettings::default(), &ripe(&network, 1_000), &network);
    assert_eq!(decision.grow, None);
    assert_eq!((holds(&decision, "bound"), holds(&decision, "budget")), (Some(false), Some(true)));
}

#[test]
fn a_spent_budget_is_named_as_the_budget() {
    let network = mlp(64, &[16]);
    let settings = data_volume(|rule| rule.max_parameters = 1_300);
    let decision = decide(&settings, &ripe(&network, 10_000), &network);
    assert_eq!(decision.grow, None);
    assert_eq!((holds(&decision, "bound"), holds(&decision, "budget")), (Some(true), Some(false)));
}

#[test]
fn a_budget_that_leaves_some_room_is_filled() {
    let network = mlp(64, &[16]);
    let settings = data_volume(|rule| rule.max_parameters = 2_000);
    let decision = decide(&settings, &ripe(&network, 10_000), &network);
    let after = plan(&network, &decision.grow.unwrap(), 1).unwrap().parameters_after;
    assert!((1_815..=2_000).contains(&after), "{after}");
}

#[test]
fn wide_networks_get_deeper_and_narrow_ones_wider() {
    let settings = PolicySettings::default();
    let grow = |network: Network| decide(&settings, &ripe(&network, 1_000_000), &network).grow.unwrap();
    let GrowthRequest::Deeper(deeper) = grow(mlp(64, &[64])) else { panic!("64 / 1 exceeds the limit") };
    assert!(matches!(deeper.after, crate::growth::Nodes::These(ref nodes) if nodes[0].as_str() == "hidden1"));
    let GrowthRequest::Wider(wider) = grow(mlp(64, &[32, 32])) else { panic!("32 / 2 is within the limit") };
    assert!(matches!(wider.extent, Extent::Factor(factor) if factor > 1.3 && factor <= 2.0));
}

#[test]
fn a_network_without_hidden_layers_has_no_room() {
    let network = mlp(64, &[]);
    let decision = decide(&PolicySettings::default(), &ripe(&network, 1_000_000), &network);
    assert_eq!((&decision.grow, holds(&decision, "no_room")), (&None, Some(false)));
}

#[test]
fn a_convolutional_network_grows_too() {
    let network = NetworkSpec::Cnn { channels: vec![8, 16] }.build(&Shape::image(1, 28, 28), 10).unwrap();
    let decision = decide(&PolicySettings::default(), &ripe(&network, 5_000), &network);
    assert!(matches!(decision.grow, Some(GrowthRequest::Wider(_))), "{decision:?}");
}

#[test]
fn manual_never_grows_on_its_own_and_auto_still_does() {
    let network = mlp(64, &[8]);
    let settings = PolicySettings::Manual { max_parameters: 100_000 };
    let mut signals = ripe(&network, 1_000);
    assert_eq!(decide(&settings, &signals, &network).grow, None);
    signals.rows_since_growth = 0;
    signals.holdout_loss = Some(100.0);
    assert!(decide_now(&settings, &signals, &network).grow.is_some());
    let spent = PolicySettings::Manual { max_parameters: 700 };
    assert_eq!(decide_now(&spent, &signals, &network).grow, None);
}

#[test]
fn the_same_signals_give_the_same_decision_and_new_numbers_say_nothing_new() {
    let network = mlp(64, &[8]);
    let signals = ripe(&network, 1_000);
    let decide = |signals: &Signals| decide(&PolicySettings::default(), signals, &network);
    assert_eq!(decide(&signals), decide(&signals));
    let later = Signals { rows_since_growth: 1_064, ..signals.clone() };
    assert!(decide(&signals).says_the_same(&decide(&later)));
    let flat_no_more = Signals { progressive_loss: Some(0.3), ..signals.clone() };
    assert!(!decide(&signals).says_the_same(&decide(&flat_no_more)));
}
