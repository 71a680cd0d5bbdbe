//! Programs of random networks over every op.

use proptest::prelude::*;

use super::subject::Subject;
use crate::network::program::TrainingProgram;
use crate::network::samples::{Masks, graph};

/// Room of the programs; batches are smaller.
const ROOM: usize = 6;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn programs_of_random_networks_compute_what_tensors_and_the_reference_compute(seed in any::<u32>()) {
        let network = graph(u64::from(seed), Masks::Some);
        let mut program = TrainingProgram::compile(&network, ROOM);
        for rows in [5, 1, ROOM] {
            Subject::new(network.clone(), rows, u64::from(seed)).check(&mut program);
        }
    }
}
