//! Pop-Art (van Hasselt et al. 2016): when the statistics of regression targets move, the last layer moves against them,
//! so that no answer changes.
//!
//! Called by the trainer whenever it takes new targets into the statistics, before the next step.

use crate::growth::State;
use crate::network::{Network, NetworkError, ParameterId};
use crate::stream::Targets;

/// Moves the output layer, its averages and all moments from the statistics `before` to those `after`.
/// Nothing happens for classes, and while `before` has seen no target: until then an answer means nothing, and keeping it
/// would leave the network to unlearn the whole mean of the targets.
///
/// With r = scale before ÷ scale after, the weight becomes r · W and the bias (scale before · b + shift before −
/// shift after) ÷ scale after. The loss of every example scales by r², so every gradient does, except those of the output
/// layer, whose weights scale by r themselves and whose gradients therefore scale by r. First moments scale like
/// gradients and second moments like their squares, which is exact.
///
/// # Errors
/// The network's last node has no weight and bias.
pub fn rescale(network: &Network, state: &mut State, rescaling: &Rescaling) -> Result<(), NetworkError> {
    let Rescaling { ratio, shift } = *rescaling;
    let [weight, bias] = last_layer(network);
    let value = |id: &ParameterId| state.parameters.get(id).ok_or_else(|| no_last_layer(network));
    let new_weight = value(&weight)?.affine(ratio, 0.0)?;
    let new_bias = value(&bias)?.affine(ratio, shift)?;
    let mut moments = state.optimizer.moments.clone();
    for (id, shift) in [(&weight, 0.0), (&bias, shift)] {
        // What is published answers with the averages: they move as the weights do.
        let averaged = moments.get_mut(id.as_str()).and_then(|moments| moments.average.as_mut());
        if let Some(average) = averaged {
            *average = average.affine(ratio, shift)?;
        }
    }
    for (name, moments) in &mut moments {
        let last = name == weight.as_str() || name == bias.as_str();
        let gradient = if last { ratio } else { ratio * ratio };
        moments.first = moments.first.as_ref().map(|first| first.affine(gradient, 0.0)).transpose()?;
        moments.second = moments.second.as_ref().map(|second| second.affine(gradient * gradient, 0.0)).transpose()?;
    }
    state.parameters.insert(weight, new_weight);
    state.parameters.insert(bias, new_bias);
    state.optimizer.moments = moments;
    Ok(())
}

/// What moves when the statistics of targets do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescaling {
    /// Scale before ÷ scale after.
    pub ratio: f64,
    /// (Shift before − shift after) ÷ scale after.
    pub shift: f64,
}

impl Rescaling {
    /// The rescaling from the statistics `before` to those `after`, if there is anything to move.
    pub fn between(before: &Targets, after: &Targets) -> Option<Self> {
        let (Targets::Number { count: 1.., .. }, Targets::Number { .. }) = (before, after) else { return None };
        let ratio = before.scale() / after.scale();
        let shift = (before.shift() - after.shift()) / after.scale();
        (ratio != 1.0 || shift != 0.0).then_some(Self { ratio, shift })
    }
}

/// The weight and the bias of the layer that moves.
pub(super) fn last_layer(network: &Network) -> [ParameterId; 2] {
    ["weight", "bias"].map(|name| ParameterId::new(&network.output().id, name))
}

/// There is no such layer.
pub(super) fn no_last_layer(network: &Network) -> NetworkError {
    NetworkError::Node {
        node: network.output().id.clone(),
        reason: "a regression ends in a layer with weight and bias, or its targets cannot be rescaled".into(),
    }
}

/// Why this network's answers could not be rescaled, in a sentence: its output layer must be linear and its own.
pub(super) fn fault(network: &Network) -> Option<String> {
    let output = network.output();
    let users = network.nodes().iter().filter(|node| node.owner() == output.owner()).count();
    if output.op.kind() != "linear" {
        return Some(format!(
            "node {}: a regression ends in a `linear` layer, which follows its targets' statistics",
            output.id
        ));
    }
    (users > 1).then(|| {
        format!("node {}: the output layer of a regression shares its parameters with no other node", output.id)
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    use super::super::averages::published;
    use super::super::step::{Batch, StepOutcome, StepRule, StepTargets, first_state, step};
    use super::*;
    use crate::compute::optimizer::{Optimizer, Rate};
    use crate::network::Shape;
    use crate::network::builders::NetworkSpec;
    use crate::network::execute::evaluate;
    use crate::network::initialize::initialize;

    const OPTIMIZER: Optimizer = Optimizer::SGD;

    fn inputs() -> Tensor {
        Tensor::from_slice(&[0.5f32, -1.0, 1.5, 0.25, -0.75, 2.0, 0.0, 1.0], (4, 2), &Device::Cpu).unwrap()
    }

    fn targets(mean: f64, deviation: f64) -> Targets {
        Targets::Number { count: 1_000, mean, m2: deviation * deviation * 1_000.0 }
    }

    fn trained(truths: &[f64], targets: &Targets) -> (Network, State) {
        let network = NetworkSpec::Mlp { hidden: vec![6], dropout: 0.0 }.build(&Shape::flat(2), 1).unwrap();
        let parameters = initialize(&network, 3, &Device::Cpu).unwrap();
        let mut state = first_state(&network, parameters, &OPTIMIZER).unwrap();
        for _ in 0..5 {
            one_step(&network, &mut state, truths, targets);
        }
        (network, state)
    }

    fn one_step(network: &Network, state: &mut State, truths: &[f64], targets: &Targets) {
        let numbers = truths.iter().map(|truth| ((truth - targets.shift()) / targets.scale()) as f32).collect();
        let batch = Batch { inputs: inputs(), targets: StepTargets::Numbers(numbers) };
        let rule = StepRule::plain(OPTIMIZER, Rate::constant(0.05), 1);
        assert!(matches!(step(network, state, &batch, &rule).unwrap(), StepOutcome::Done { .. }));
    }

    fn follow(network: &Network, state: &mut State, before: &Targets, after: &Targets) {
        if let Some(rescaling) = Rescaling::between(before, after) {
            rescale(network, state, &rescaling).unwrap();
        }
    }

    fn answers(network: &Network, state: &State, targets: &Targets) -> Vec<f64> {
        let outputs = evaluate(network, &state.parameters, &inputs()).unwrap().flatten_all().unwrap();
        let outputs: Vec<f32> = outputs.to_vec1().unwrap();
        outputs.iter().map(|&output| f64::from(output) * targets.scale() + targets.shift()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn no_answer_changes_when_the_statistics_move(
            mean in -5.0f64..5.0, deviation in 0.5f64..4.0, move_mean in -2.0f64..2.0, stretch in 0.5f64..2.0,
        ) {
            let before = targets(mean, deviation);
            let after = targets(mean + move_mean, deviation * stretch);
            let truths = [mean, mean + deviation, mean - deviation, mean + 0.5];
            let (network, mut state) = trained(&truths, &before);
            // Averages that are not the weights.
            for (id, parameter) in &state.parameters {
                let moments = state.optimizer.moments.get_mut(id.as_str()).unwrap();
                moments.average = Some(parameter.affine(0.7, 0.2).unwrap());
            }
            let averaged = |state: &State| State { parameters: published(state).into_owned(), ..state.clone() };
            let old = [answers(&network, &state, &before), answers(&network, &averaged(&state), &before)];
            follow(&network, &mut state, &before, &after);
            let new = [answers(&network, &state, &after), answers(&network, &averaged(&state), &after)];
            for (old, new) in old.iter().flatten().zip(new.iter().flatten()) {
                prop_assert!((old - new).abs() <= 1e-5 * old.abs().max(after.scale()).max(1.0), "{} became {}", old, new);
            }
        }
    }

    #[test]
    fn the_momentum_is_that_of_a_life_in_the_new_statistics() {
        // Gradients of a loss in the new units, at weights that give the same answers, are what the moments must equal:
        // with momentum kept for one step only, the first moment is one gradient.
        let (before, after) = (targets(1.0, 2.0), targets(2.0, 6.0));
        let truths = [1.0, 3.0, -1.0, 1.5];
        let (network, state) = trained(&truths, &before);
        let fresh = |parameters| first_state(&network, parameters, &OPTIMIZER).unwrap();
        let mut old = fresh(state.parameters.clone());
        let mut moved = fresh(state.parameters.clone());
        follow(&network, &mut moved, &before, &after);
        one_step(&network, &mut old, &truths, &before);
        one_step(&network, &mut moved, &truths, &after);
        follow(&network, &mut old, &before, &after);
        for (name, expected) in &moved.optimizer.moments {
            let read = |moments: &crate::compute::optimizer::Moments| -> Vec<f32> {
                moments.first.as_ref().unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            for (got, wanted) in read(&old.optimizer.moments[name]).iter().zip(read(expected)) {
                assert!((got - wanted).abs() <= 1e-5 * wanted.abs().max(0.1), "{name}: {got} for {wanted}");
            }
        }
    }

    #[test]
    fn an_untrained_network_starts_at_the_mean_of_its_first_targets() {
        let nothing = Targets::Number { count: 0, mean: 0.0, m2: 0.0 };
        let (network, mut state) = trained(&[0.0; 4], &nothing);
        let before = format!("{:?}", answers(&network, &state, &nothing));
        follow(&network, &mut state, &nothing, &targets(5_000.0, 300.0));
        assert_eq!(format!("{:?}", answers(&network, &state, &nothing)), before);
    }
}
