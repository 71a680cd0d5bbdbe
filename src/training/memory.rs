//! The memory of a learner's training step, worked out from its network, its optimizer and its batch.
//!
//! This is the arithmetic of the path over candle tensors: its gradients are all held until the update, and the update makes
//! every parameter and moment anew before it lets go of the old ones. Not counted is what ops save for their own backward
//! pass. An engine says by itself what it holds ([`super::engine`]); this is shown where there is none: on other devices, for
//! learners that no trainer of this process has in memory, and up to the first step after a growth.

use super::settings::TrainingSettings;
use crate::compute::memory::Memory;
use crate::compute::optimizer::Optimizer;
use crate::network::{AxisRole, Network, ParameterKind};

const F32: u64 = 4;
const BIRTH: u64 = 8;

/// What a step of this network with these settings holds.
pub fn of_step(network: &Network, settings: &TrainingSettings) -> Memory {
    let moments = match settings.optimizer {
        Optimizer::Adam { .. } => 2,
        Optimizer::Sgd { .. } | Optimizer::RmsProp { .. } => 1,
    };
    let (mut weights, mut trained, mut births) = (0, 0, 0);
    for spec in network.owners().flat_map(|(_, specs)| specs) {
        let elements = spec.dims.iter().map(|&axis| axis as u64).product::<u64>();
        weights += F32 * elements;
        if spec.kind == ParameterKind::Trained {
            trained += F32 * elements;
            let born = |(role, &axis): (&AxisRole, &usize)| match role {
                AxisRole::Out => axis as u64,
                role if role.consumes().is_some() => axis as u64,
                _ => 0,
            };
            let axes = spec.axes.iter().zip(&spec.dims).map(born).sum::<u64>();
            // One with neither axis is born along its first.
            births += BIRTH * if axes > 0 { axes } else { spec.dims.first().map_or(0, |&axis| axis as u64) };
        }
    }
    let kept = if settings.average_decay > 0.0 { moments + 1 } else { moments };
    let rows = settings.batch as u64;
    let output = |node: &crate::network::Node| network.shape(&node.id).map_or(0, |shape| shape.elements() as u64);
    let outputs = || network.nodes().iter().map(output);
    let largest = outputs().max().unwrap_or(0);
    Memory {
        weights,
        gradients: trained,
        optimizer: kept * trained + births,
        activations: F32 * rows * (network.input().elements() as u64 + outputs().sum::<u64>()),
        // The new parameters and moments, and the gradients of a node's output and of its input.
        scratch: (1 + kept) * trained + 2 * F32 * rows * largest,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::network::Shape;
    use crate::network::builders::NetworkSpec;
    use crate::network::initialize::initialize;
    use crate::network::program::TrainingProgram;
    use crate::training::engine::Engine;
    use crate::training::step::first_state;

    #[test]
    fn weights_and_moments_are_counted_as_they_are_held() {
        let flat = |spec: NetworkSpec| spec.build(&Shape::flat(7), 3).unwrap();
        let networks = [
            flat(NetworkSpec::Mlp { hidden: vec![5, 4], dropout: 0.1 }),
            NetworkSpec::Cnn { channels: vec![2, 3] }.build(&Shape::image(1, 8, 8), 3).unwrap(),
        ];
        for network in &networks {
            for optimizer in [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP] {
                let settings = TrainingSettings { optimizer, batch: 16, ..TrainingSettings::default() };
                let memory = of_step(network, &settings);
                let parameters = initialize(network, 1, &Device::Cpu).unwrap();
                let state = first_state(network, parameters, &optimizer).unwrap();
                let bytes = |tensor: &candle_core::Tensor| F32 * tensor.elem_count() as u64;
                assert_eq!(memory.weights, state.parameters.values().map(bytes).sum::<u64>());
                let held = state.optimizer.moments.values().map(|moments| {
                    let births = moments.out_births.iter().chain(&moments.in_births).map(|births| births.steps.len());
                    let numbers = moments.first.iter().chain(&moments.second).map(bytes).sum::<u64>();
                    numbers + BIRTH * births.sum::<usize>() as u64
                });
                assert_eq!(memory.optimizer, held.sum::<u64>());
                let engine = Engine::load(TrainingProgram::compile(network, settings.batch), &state).unwrap().memory();
                assert!(engine.weights >= memory.weights && engine.optimizer >= memory.optimizer, "{engine:?}");
                assert!(engine.peak() < memory.peak(), "in place it takes less: {engine:?} and {memory:?}");
                assert_eq!(memory.gradients, F32 * network.parameter_count());
            }
        }
        let memory = of_step(&networks[0], &TrainingSettings { batch: 16, ..TrainingSettings::default() });
        assert_eq!(memory.activations % (16 * F32), 0);
        assert!(memory.activations >= 16 * F32 * (7 + 5 + 5 + 4 + 4 + 3));
        assert!(memory.ratio() > 1.0);
    }
}
