//! Any network, any sequence of growths: the function stays.

use proptest::prelude::*;

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::Network;

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![Just(Split::Replicate), Just(Split::Paper { noise: 0.0 }), Just(Split::Fresh)]
}

fn request() -> impl Strategy<Value = GrowthRequest> {
    let kind = prop_oneof![Just(DeeperKind::Identity), Just(DeeperKind::Residual)];
    prop_oneof![
        4 => (split(), 1.1f64..3.0).prop_map(|(split, factor)| wider_all(factor, split)),
        2 => kind.prop_map(|kind| GrowthRequest::Deeper(Deeper::plain(Nodes::All, kind))),
        1 => (1usize..4).prop_map(|add| GrowthRequest::Inputs { add }),
        1 => (1usize..4).prop_map(|add| GrowthRequest::Classes { add, epsilon: 1e-3, log_sum_exp: 0.5 }),
    ]
}

/// Grows as often as asked, skipping refusals; the number of growths that were made.
fn grow_all(network: Network, requests: &[GrowthRequest]) -> Result<usize, TestCaseError> {
    let (mut network, mut state) = (network.clone(), state(&network, &Optimizer::ADAM));
    let mut made = 0;
    for (step, request) in requests.iter().enumerate() {
        if plan(&network, request, step as u64).is_err() {
            continue;
        }
        let (plan, grown, certificate) = grow_by(&network, &state, request, step as u64);
        prop_assert!(certificate.preserved, "{request:?}: {certificate:?}");
        prop_assert!(certificate.max_rel_diff <= if certificate.limit == 0.0 { 0.0 } else { 1e-9 }, "{certificate:?}");
        prop_assert!(certificate.train_max_rel_diff.is_some_and(|relative| relative <= 1e-9), "{certificate:?}");
        prop_assert_eq!(plan.parameters_after, plan.student().parameter_count());
        // New inputs of which nothing takes the end are the one growth without parameters.
        let least = plan.parameters_before + u64::from(plan.op != GrowthOp::Inputs);
        prop_assert!(plan.parameters_after >= least);
        for (name, spec) in plan.student().parameters() {
            prop_assert_eq!(grown.parameters[&name].dims(), &spec.dims[..]);
            let Some(moments) = grown.optimizer.moments.get(name.as_str()) else {
                continue;
            };
            for births in [&moments.out_births, &moments.in_births].into_iter().flatten() {
                prop_assert_eq!(births.steps.len(), spec.dims[births.axis]);
            }
            prop_assert_eq!(moments.first.as_ref().unwrap().dims(), &spec.dims[..]);
        }
        (network, state, made) = (plan.student().clone(), grown, made + 1);
    }
    Ok(made)
}

/// Each case grows several networks: fewer than usual unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: std::env::var_os("PROPTEST_CASES").map_or(48, |_| usual.cases), ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_sequence_of_growths_of_any_graph_keeps_the_function(
        seed in any::<u64>(),
        requests in proptest::collection::vec(request(), 1..4),
    ) {
        grow_all(random_network(seed), &requests)?;
    }

    #[test]
    fn any_sequence_of_growths_of_known_networks_keeps_the_function(
        which in 0usize..5,
        requests in proptest::collection::vec(request(), 1..4),
    ) {
        let network = [mlp(&[4, 3]), cnn(&[3, 2]), flattened(), residual(), branching()][which].clone();
        grow_all(network, &requests)?;
    }

    #[test]
    fn any_single_producer_can_be_named(seed in any::<u64>(), which in any::<prop::sample::Index>(), split in split()) {
        let network = random_network(seed);
        let producers: Vec<_> = network.nodes().iter().filter(|node| node.op.produces_channels()).collect();
        let name = which.get(&producers).id.as_str();
        let request = wider(&[name], Extent::Factor(1.5), split);
        match plan(&network, &request, 1) {
            Ok(plan) => prop_assert!(width(plan.student(), name) > width(&network, name)),
            Err(refusal) => prop_assert!(matches!(refusal, Refusal::Node { .. }), "{refusal:?}"),
        }
        grow_all(network, &[request])?;
    }
}

#[test]
fn most_random_networks_can_grow() {
    let grown = (0..200).filter(|&seed| plan(&random_network(seed), &wider_all(2.0, Split::Replicate), 1).is_ok());
    assert!(grown.count() > 120);
}

#[test]
fn a_network_can_double_again_and_again() {
    let requests = vec![wider_all(2.0, Split::Replicate); 5];
    assert_eq!(grow_all(mlp(&[2, 2]), &requests).unwrap(), 5);
    let mixed = [wider_all(1.5, Split::Fresh), wider_all(2.0, Split::Paper { noise: 0.0 })];
    assert_eq!(grow_all(cnn(&[2, 2]), &mixed).unwrap(), 2);
}
