//! An op that nobody but its own file knows grows by its declarations alone: adding one takes one file and no change in
//! growth.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::ops::linear::Linear;
use crate::network::samples::Squares;
use crate::network::{Network, Shape};

#[test]
fn an_op_of_its_own_file_grows_by_what_it_declares() {
    let nodes = vec![
        node("below", Linear { out: 3 }, &["input"]),
        node("squares", Squares { out: 4 }, &["below"]),
        node("output", Linear { out: 2 }, &["squares"]),
    ];
    let network = Network::new(Shape::flat(3), nodes).unwrap();
    let state = state(&network, &Optimizer::ADAM);
    for split in [Split::Replicate, Split::Paper { noise: 0.0 }, Split::Fresh] {
        for request in [
            wider(&["below"], Extent::To(5), split),
            wider(&["squares"], Extent::To(7), split),
            wider_all(2.0, split),
            deeper(&["squares"], DeeperKind::Residual),
        ] {
            let (plan, grown, certificate) = grow(&network, &state, &request);
            assert!(certificate.preserved && certificate.max_rel_diff <= 1e-12, "{request:?}: {certificate:?}");
            assert!(plan.parameters_after > plan.parameters_before);
            assert_eq!(grown.optimizer.moments.len(), plan.student().parameters().count());
        }
    }
}
