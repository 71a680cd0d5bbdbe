//! Copies part without noise and without dropout; equal ones never do. The measure is part of every growth that copies.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::{Optimizer, Rate};
use crate::network::Network;
use crate::network::samples::{Masks, graph};

const EQUAL: Split = Split::Paper { noise: 0.0 };

fn measured(network: &Network, request: &GrowthRequest, optimizer: Optimizer) -> Option<Drift> {
    let before = state(network, &optimizer);
    let plan = plan(network, request, 5).unwrap();
    let grown = apply(&plan, network, &before, &optimizer).unwrap();
    drift(&plan, network, &grown, (&optimizer, &Rate::constant(0.01)), &probe(network)).unwrap()
}

#[test]
fn unequal_copies_part_in_their_first_steps_and_equal_ones_never() {
    for network in [mlp(&[4, 3]), cnn(&[3, 2]), flattened(), residual()] {
        for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::RMSPROP] {
            let unequal = measured(&network, &wider_all(2.0, Split::Replicate), optimizer).unwrap();
            let equal = measured(&network, &wider_all(2.0, EQUAL), optimizer).unwrap();
            assert!(unequal.families > 0 && unequal.families == equal.families);
            assert!(unequal.mean > 1e-4, "{unequal:?} {optimizer:?}");
            assert!(equal.mean < unequal.mean / 50.0, "{equal:?} {unequal:?} {optimizer:?}");
        }
    }
}

#[test]
fn an_equal_copy_of_a_single_layer_stays_with_its_source_to_the_bit() {
    let equal = measured(&mlp(&[4]), &wider(&["hidden1"], Extent::To(8), EQUAL), Optimizer::SGD).unwrap();
    assert_eq!((equal.mean, equal.least), (0.0, 0.0));
    let unequal = measured(&mlp(&[4]), &wider(&["hidden1"], Extent::To(8), Split::Replicate), Optimizer::SGD).unwrap();
    assert!(unequal.least > 1e-5, "{unequal:?}");
}

#[test]
fn what_copies_nothing_has_no_drift() {
    let network = mlp(&[4]);
    for request in [
        wider_all(2.0, Split::Fresh),
        deeper(&["hidden1"], DeeperKind::Identity),
        GrowthRequest::Inputs { add: 1 },
        GrowthRequest::Classes { add: 1, epsilon: 0.1, log_sum_exp: 0.0 },
    ] {
        assert_eq!(measured(&network, &request, Optimizer::ADAM), None, "{request:?}");
    }
}

#[test]
fn a_layer_that_is_widened_as_it_is_inserted_has_a_drift_too() {
    let after = Nodes::These(vec![id("hidden1")]);
    let width = Some(Extent::Factor(2.0));
    let request = GrowthRequest::Deeper(Deeper { width, ..Deeper::plain(after, DeeperKind::Identity) });
    assert!(measured(&mlp(&[4]), &request, Optimizer::ADAM).unwrap().mean > 1e-4);
}

#[test]
fn a_learner_without_moments_is_tried_too() {
    let network = mlp(&[4]);
    let mut before = state(&network, &Optimizer::ADAM);
    before.optimizer.moments.clear();
    let plan = plan(&network, &wider_all(2.0, Split::Replicate), 5).unwrap();
    let grown = apply(&plan, &network, &before, &Optimizer::ADAM).unwrap();
    let training = (&Optimizer::ADAM, &Rate::constant(0.01));
    assert!(drift(&plan, &network, &grown, training, &probe(&network)).unwrap().unwrap().mean > 1e-4);
}

#[test]
fn drift_is_measured_on_every_kind_of_graph_and_is_the_same_each_time() {
    let mut measures = 0;
    for seed in 0..60 {
        let network = graph(seed, Masks::Some);
        let request = wider_all(2.0, Split::Replicate);
        if plan(&network, &request, 5).is_ok() {
            let first = measured(&network, &request, Optimizer::ADAM);
            assert_eq!(first, measured(&network, &request, Optimizer::ADAM));
            measures += usize::from(first.is_some_and(|drift| drift.mean > 0.0));
        }
    }
    assert!(measures > 25, "{measures}");
}
